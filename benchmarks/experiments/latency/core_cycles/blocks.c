/* A QEMU 7.2 plugin: how often every translated block of A64 code ran between two marks, with its instructions.
 *
 * The guest marks a region with syscall 10007, which no kernel has: argument 1 starts, 2 stops and prints one line a
 * block, "BLOCK <executions> <hex of its instructions, little-endian>", to stderr.
 *   gcc -O2 -fPIC -shared -o blocks.so blocks.c
 */
#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What is used of QEMU's plugin interface, version 1 (Debian packages no qemu-plugin.h). */
typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
typedef void (*syscall_callback)(qemu_plugin_id_t, unsigned int, int64_t, uint64_t, uint64_t, uint64_t, uint64_t,
                                 uint64_t, uint64_t, uint64_t, uint64_t);
enum { INLINE_ADD_U64 };
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *);
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t, void (*)(qemu_plugin_id_t, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *, int, void *, uint64_t);
void qemu_plugin_register_vcpu_syscall_cb(qemu_plugin_id_t, syscall_callback);

__attribute__((visibility("default"))) int qemu_plugin_version = 1;

typedef struct Block {
  struct Block *next;
  uint64_t runs, at_start;
  size_t n;
  uint32_t words[];
} Block;
static Block *blocks;

static void translate(qemu_plugin_id_t id, struct qemu_plugin_tb *tb) {
  (void)id;
  size_t n = qemu_plugin_tb_n_insns(tb);
  Block *block = calloc(1, sizeof *block + n * sizeof block->words[0]);
  block->n = n;
  for (size_t i = 0; i < n; i++) memcpy(&block->words[i], qemu_plugin_insn_data(qemu_plugin_tb_get_insn(tb, i)), 4);
  block->next = blocks;
  blocks = block;
  qemu_plugin_register_vcpu_tb_exec_inline(tb, INLINE_ADD_U64, &block->runs, 1);
}

static void mark(qemu_plugin_id_t id, unsigned int vcpu, int64_t number, uint64_t what, uint64_t a2, uint64_t a3,
                 uint64_t a4, uint64_t a5, uint64_t a6, uint64_t a7, uint64_t a8) {
  (void)id, (void)vcpu, (void)a2, (void)a3, (void)a4, (void)a5, (void)a6, (void)a7, (void)a8;
  if (number != 10007) return;
  for (Block *block = blocks; block; block = block->next) {
    if (what == 1) {
      block->at_start = block->runs;
      continue;
    }
    if (block->runs == block->at_start) continue;
    fprintf(stderr, "BLOCK %" PRIu64 " ", block->runs - block->at_start);
    for (size_t i = 0; i < block->n; i++)
      for (int byte = 0; byte < 4; byte++) fprintf(stderr, "%02x", (block->words[i] >> (8 * byte)) & 255);
    fputc('\n', stderr);
  }
}

__attribute__((visibility("default"))) int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int argc,
                                                               char **argv) {
  (void)info, (void)argc, (void)argv;
  qemu_plugin_register_vcpu_tb_trans_cb(id, translate);
  qemu_plugin_register_vcpu_syscall_cb(id, mark);
  return 0;
}
