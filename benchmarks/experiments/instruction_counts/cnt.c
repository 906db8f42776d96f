/* A QEMU 7.2 plugin: counts executed A64 instructions between two marks, in total and by class.
 *
 * The guest marks a region with syscall 10007, which no kernel has: argument 1 starts, 2 stops and prints.
 *   gcc -O2 -fPIC -shared -I DIR_OF_QEMU_PLUGIN_H -o cnt.so cnt.c
 */
#include <inttypes.h>
#include <qemu-plugin.h>
#include <stdio.h>
#include <string.h>

QEMU_PLUGIN_EXPORT int qemu_plugin_version = QEMU_PLUGIN_VERSION;

enum { TOTAL, DOTPROD, I8MM, LOAD, STORE, SIMD, CLASSES };
static const char *names[CLASSES] = {"total", "dotprod", "i8mm", "load", "store", "simd_fp"};
static uint64_t counts[CLASSES], at_start[CLASSES];

/* Classes by encoding: Arm Architecture Reference Manual, C4.1 (bits 28:25 are the top-level group). */
static void classify(uint32_t word, int *found) {
  uint32_t group = (word >> 25) & 15;
  if ((group & 7) == 7) {
    found[SIMD]++;
    if ((word & 0x9f20fc00) == 0x0e009400 || (word & 0x9f00f400) == 0x0f00e000) found[DOTPROD]++;
    if ((word & 0xffe0fc00) == 0x4e80a400 || (word & 0xffe0fc00) == 0x6e80a400 || (word & 0xffe0fc00) == 0x4e80ac00)
      found[I8MM]++;
  }
  if ((group & 5) == 4) found[word & (1u << 22) ? LOAD : STORE]++;
}

static void translate(qemu_plugin_id_t id, struct qemu_plugin_tb *block) {
  (void)id;
  size_t instructions = qemu_plugin_tb_n_insns(block);
  int found[CLASSES] = {0};
  found[TOTAL] = (int)instructions;
  for (size_t i = 0; i < instructions; i++) {
    uint32_t word;
    memcpy(&word, qemu_plugin_insn_data(qemu_plugin_tb_get_insn(block, i)), sizeof word);
    classify(word, found);
  }
  for (int k = 0; k < CLASSES; k++)
    if (found[k])
      qemu_plugin_register_vcpu_tb_exec_inline(block, QEMU_PLUGIN_INLINE_ADD_U64, &counts[k], (uint64_t)found[k]);
}

static void syscall_mark(qemu_plugin_id_t id, unsigned int vcpu, int64_t number, uint64_t what, uint64_t a2, uint64_t a3,
                         uint64_t a4, uint64_t a5, uint64_t a6, uint64_t a7, uint64_t a8) {
  (void)id, (void)vcpu, (void)a2, (void)a3, (void)a4, (void)a5, (void)a6, (void)a7, (void)a8;
  if (number != 10007) return;
  if (what == 1) {
    memcpy(at_start, counts, sizeof counts);
    return;
  }
  fprintf(stderr, "PLUG");
  for (int k = 0; k < CLASSES; k++) fprintf(stderr, " %s=%" PRIu64, names[k], counts[k] - at_start[k]);
  fprintf(stderr, "\n");
}

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv) {
  (void)info, (void)argc, (void)argv;
  qemu_plugin_register_vcpu_tb_trans_cb(id, translate);
  qemu_plugin_register_vcpu_syscall_cb(id, syscall_mark);
  return 0;
}
