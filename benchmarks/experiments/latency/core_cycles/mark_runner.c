/* Runs a .tflite through LiteRT's C API on one thread and marks the second inference for cnt.c (syscall 10007).
 *
 *   aarch64-linux-gnu-gcc -O2 -o mark_runner mark_runner.c -ldl
 *   ./mark_runner --lib=libLiteRt.so --graph=MODEL.tflite
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

typedef int Status;
typedef void *Handle;
typedef struct {
  unsigned rank : 7, has_strides : 1;
  int32_t dimensions[8];
  uint32_t strides[8];
} Layout;
typedef struct {
  int element;
  Layout layout;
} TensorType;

static void *library;

static void *symbol(const char *name) {
  void *found = dlsym(library, name);
  if (!found) {
    fprintf(stderr, "missing symbol %s\n", name);
    exit(3);
  }
  return found;
}

#define CHECK(call)                                          \
  do {                                                       \
    Status status_ = (call);                                 \
    if (status_) {                                           \
      fprintf(stderr, "LiteRT status %d at %s\n", status_, #call); \
      exit(4);                                               \
    }                                                        \
  } while (0)

static Handle tensor(Handle compiled, Handle tensor_, size_t index, int input, Handle environment) {
  TensorType type;
  Handle needs, buffer;
  CHECK(((Status(*)(Handle, TensorType *))symbol("LiteRtGetRankedTensorType"))(tensor_, &type));
  const char *name = input ? "LiteRtGetCompiledModelInputBufferRequirements" : "LiteRtGetCompiledModelOutputBufferRequirements";
  CHECK(((Status(*)(Handle, size_t, size_t, Handle *))symbol(name))(compiled, 0, index, &needs));
  CHECK(((Status(*)(Handle, const TensorType *, Handle, Handle *))symbol(
      "LiteRtCreateManagedTensorBufferFromRequirements"))(environment, &type, needs, &buffer));
  return buffer;
}

int main(int argc, char **argv) {
  const char *graph = 0, *path = "libLiteRt.so";
  for (int i = 1; i < argc; i++) {
    if (!strncmp(argv[i], "--graph=", 8)) graph = argv[i] + 8;
    if (!strncmp(argv[i], "--lib=", 6)) path = argv[i] + 6;
  }
  library = dlopen(path, RTLD_NOW);
  if (!graph || !library) {
    fprintf(stderr, "%s\n", graph ? dlerror() : "--graph=MODEL.tflite is missing");
    return 2;
  }
  Handle environment, model, options, compiled, signature, in, out, more;
  CHECK(((Status(*)(int, void *, Handle *))symbol("LiteRtCreateEnvironment"))(0, 0, &environment));
  CHECK(((Status(*)(Handle, const char *, Handle *))symbol("LiteRtCreateModelFromFile"))(environment, graph, &model));
  CHECK(((Status(*)(Handle *))symbol("LiteRtCreateOptions"))(&options));
  CHECK(((Status(*)(Handle, int))symbol("LiteRtSetOptionsHardwareAccelerators"))(options, 1));
  char *threads = strdup("num_threads = 1\n");
  CHECK(((Status(*)(const char *, void *, void (*)(void *), Handle *))symbol("LiteRtCreateOpaqueOptions"))(
      "xnnpack", threads, free, &more));
  CHECK(((Status(*)(Handle, Handle))symbol("LiteRtAddOpaqueOptions"))(options, more));
  CHECK(((Status(*)(Handle, Handle, Handle, Handle *))symbol("LiteRtCreateCompiledModel"))(environment, model, options,
                                                                                         &compiled));
  CHECK(((Status(*)(Handle, size_t, Handle *))symbol("LiteRtGetModelSignature"))(model, 0, &signature));
  CHECK(((Status(*)(Handle, size_t, Handle *))symbol("LiteRtGetSignatureInputTensorByIndex"))(signature, 0, &in));
  CHECK(((Status(*)(Handle, size_t, Handle *))symbol("LiteRtGetSignatureOutputTensorByIndex"))(signature, 0, &out));
  Handle input = tensor(compiled, in, 0, 1, environment), output = tensor(compiled, out, 0, 0, environment);
  Status (*run)(Handle, size_t, size_t, Handle *, size_t, Handle *) = symbol("LiteRtRunCompiledModel");
  CHECK(run(compiled, 0, 1, &input, 1, &output)); /* the first one packs weights */
  syscall(10007, 1);
  CHECK(run(compiled, 0, 1, &input, 1, &output));
  syscall(10007, 2);
  fflush(stderr);
  _exit(0);
}
