// Runs one .tflite over LiteRT's C API: times it, and computes its answers to a packed set of inputs.
//
//   edgefit_runner --lib=libLiteRt.so --graph=MODEL [--threads=1]
//                  [--warmups=10] [--warmup-ms=0] [--samples=50] [--seed=0]
//                                                                     time: one JSON line with every sample; warm-up
//                                                                     goes on until both its count and its time are over
//                  [--inputs=FILE --outputs=FILE]                     answer: outputs in the order of the inputs
//
// FILE holds the raw bytes of the model's first input (or output) tensor, one picture after the other, nothing between.
// With --inputs and --samples=0 nothing is timed. Without --inputs the input is noise of the model's own type, seeded.
//
// One source for x86-64, arm64 with glibc (the bundle of build.py) and Android's own libc: the library is loaded at run
// time, so nothing of LiteRT is needed to compile. Exit codes: 0 done, 2 usage, 3 library, 4 LiteRT, 5 files.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { EXIT_USAGE = 2, EXIT_LIBRARY = 3, EXIT_LITERT = 4, EXIT_FILES = 5 };
enum { MAX_TENSORS = 16, MAX_RANK = 8 };

// ---- LiteRT's C API, as far as it is used: litert/c/litert_{common,model,layout,tensor_buffer,compiled_model}.h ----

typedef int Status;  // 0 is kLiteRtStatusOk
typedef void *Handle;

enum { ACCELERATOR_CPU = 1 };          // kLiteRtHwAcceleratorCpu
enum { LOCK_READ = 0, LOCK_WRITE = 1 };  // kLiteRtTensorBufferLockMode*
enum { TYPE_FLOAT32 = 1 };             // kLiteRtElementTypeFloat32

typedef struct {
  unsigned rank : 7;
  bool has_strides : 1;
  int32_t dimensions[MAX_RANK];
  uint32_t strides[MAX_RANK];
} Layout;

typedef struct {
  int element_type;
  Layout layout;
} RankedTensorType;

#define API(X)                                                                                    \
  X(LiteRtCreateEnvironment, (int option_count, const void *options, Handle *environment))        \
  X(LiteRtCreateModelFromFile, (Handle environment, const char *path, Handle *model))             \
  X(LiteRtCreateOptions, (Handle *options))                                                       \
  X(LiteRtSetOptionsHardwareAccelerators, (Handle options, int accelerators))                     \
  X(LiteRtCreateOpaqueOptions,                                                                    \
    (const char *identifier, void *payload, void (*destroy)(void *), Handle *opaque))             \
  X(LiteRtAddOpaqueOptions, (Handle options, Handle opaque))                                      \
  X(LiteRtCreateCompiledModel, (Handle environment, Handle model, Handle options, Handle *made))  \
  X(LiteRtGetModelSignature, (Handle model, size_t index, Handle *signature))                     \
  X(LiteRtGetNumSignatureInputs, (Handle signature, size_t *count))                               \
  X(LiteRtGetNumSignatureOutputs, (Handle signature, size_t *count))                              \
  X(LiteRtGetSignatureInputTensorByIndex, (Handle signature, size_t index, Handle *tensor))       \
  X(LiteRtGetSignatureOutputTensorByIndex, (Handle signature, size_t index, Handle *tensor))      \
  X(LiteRtGetRankedTensorType, (Handle tensor, RankedTensorType * type))                          \
  X(LiteRtGetCompiledModelInputBufferRequirements,                                                \
    (Handle compiled, size_t signature, size_t index, Handle *requirements))                      \
  X(LiteRtGetCompiledModelOutputBufferRequirements,                                               \
    (Handle compiled, size_t signature, size_t index, Handle *requirements))                      \
  X(LiteRtGetCompiledModelInputTensorLayout,                                                      \
    (Handle compiled, size_t signature, size_t index, Layout * layout))                           \
  X(LiteRtGetCompiledModelOutputTensorLayouts,                                                    \
    (Handle compiled, size_t signature, size_t count, Layout * layouts, bool update))             \
  X(LiteRtCreateManagedTensorBufferFromRequirements,                                              \
    (Handle environment, const RankedTensorType *type, Handle requirements, Handle *buffer))      \
  X(LiteRtLockTensorBuffer, (Handle buffer, void **address, int mode))                            \
  X(LiteRtUnlockTensorBuffer, (Handle buffer))                                                    \
  X(LiteRtGetTensorBufferPackedSize, (Handle buffer, size_t *bytes))                              \
  X(LiteRtRunCompiledModel,                                                                       \
    (Handle compiled, size_t signature, size_t inputs, Handle *in, size_t outputs, Handle *out))

#define DECLARE(name, parameters) static Status(*name) parameters;
API(DECLARE)

static void die(int code, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fputs("edgefit_runner: ", stderr);
  vfprintf(stderr, format, arguments);
  fputc('\n', stderr);
  va_end(arguments);
  exit(code);
}

#define CHECK(call)                                                           \
  do {                                                                        \
    Status status_ = (call);                                                  \
    if (status_) die(EXIT_LITERT, "LiteRT status %d from %s", status_, #call); \
  } while (0)

static void load_api(const char *path) {
  void *library = dlopen(path, RTLD_NOW);
  if (!library) die(EXIT_LIBRARY, "%s", dlerror());
#define LOAD(name, parameters)                                                                \
  *(void **)&name = dlsym(library, #name);                                                    \
  if (!name) die(EXIT_LIBRARY, "%s has no %s: it is another version of LiteRT", path, #name);
  API(LOAD)
}

// ---- the model ----

typedef struct {
  Handle compiled;
  size_t input_count, output_count;
  Handle inputs[MAX_TENSORS], outputs[MAX_TENSORS];
  int input_types[MAX_TENSORS];
} Model;

static size_t packed_size(Handle buffer) {
  size_t bytes;
  CHECK(LiteRtGetTensorBufferPackedSize(buffer, &bytes));
  return bytes;
}

static Model open_model(const char *path, int threads) {
  Model m = {0};
  Handle environment, model, options, cpu, signature;
  CHECK(LiteRtCreateEnvironment(0, NULL, &environment));
  CHECK(LiteRtCreateModelFromFile(environment, path, &model));
  CHECK(LiteRtCreateOptions(&options));
  CHECK(LiteRtSetOptionsHardwareAccelerators(options, ACCELERATOR_CPU));
  char *toml = malloc(64);  // LiteRT frees it
  if (!toml) die(EXIT_LITERT, "out of memory");
  snprintf(toml, 64, "num_threads = %d\n", threads);
  CHECK(LiteRtCreateOpaqueOptions("xnnpack", toml, free, &cpu));
  CHECK(LiteRtAddOpaqueOptions(options, cpu));
  CHECK(LiteRtCreateCompiledModel(environment, model, options, &m.compiled));
  CHECK(LiteRtGetModelSignature(model, 0, &signature));
  CHECK(LiteRtGetNumSignatureInputs(signature, &m.input_count));
  CHECK(LiteRtGetNumSignatureOutputs(signature, &m.output_count));
  if (m.input_count < 1 || m.output_count < 1 || m.input_count > MAX_TENSORS || m.output_count > MAX_TENSORS)
    die(EXIT_LITERT, "%zu inputs and %zu outputs", m.input_count, m.output_count);

  for (size_t i = 0; i < m.input_count; i++) {
    Handle tensor, requirements;
    RankedTensorType type;
    CHECK(LiteRtGetSignatureInputTensorByIndex(signature, i, &tensor));
    CHECK(LiteRtGetRankedTensorType(tensor, &type));
    CHECK(LiteRtGetCompiledModelInputTensorLayout(m.compiled, 0, i, &type.layout));
    CHECK(LiteRtGetCompiledModelInputBufferRequirements(m.compiled, 0, i, &requirements));
    CHECK(LiteRtCreateManagedTensorBufferFromRequirements(environment, &type, requirements, &m.inputs[i]));
    m.input_types[i] = type.element_type;
  }
  Layout layouts[MAX_TENSORS];
  CHECK(LiteRtGetCompiledModelOutputTensorLayouts(m.compiled, 0, m.output_count, layouts, false));
  for (size_t i = 0; i < m.output_count; i++) {
    Handle tensor, requirements;
    RankedTensorType type;
    CHECK(LiteRtGetSignatureOutputTensorByIndex(signature, i, &tensor));
    CHECK(LiteRtGetRankedTensorType(tensor, &type));
    type.layout = layouts[i];
    CHECK(LiteRtGetCompiledModelOutputBufferRequirements(m.compiled, 0, i, &requirements));
    CHECK(LiteRtCreateManagedTensorBufferFromRequirements(environment, &type, requirements, &m.outputs[i]));
  }
  return m;
}

static void run(Model *m) {
  CHECK(LiteRtRunCompiledModel(m->compiled, 0, m->input_count, m->inputs, m->output_count, m->outputs));
}

// Seeded noise: any byte for integers, [-1, 1) for floats. The generator is Knuth's MMIX one; its high bits are used.
static void fill_with_noise(Model *m, uint64_t seed) {
  uint64_t state = seed;
  for (size_t i = 0; i < m->input_count; i++) {
    void *address;
    size_t bytes = packed_size(m->inputs[i]);
    CHECK(LiteRtLockTensorBuffer(m->inputs[i], &address, LOCK_WRITE));
    if (m->input_types[i] == TYPE_FLOAT32) {
      float *values = address;
      for (size_t k = 0; k < bytes / sizeof *values; k++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        values[k] = (float)(state >> 40) / (1 << 23) - 1.0f;
      }
    } else {
      uint8_t *values = address;
      for (size_t k = 0; k < bytes; k++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        values[k] = (uint8_t)(state >> 56);
      }
    }
    CHECK(LiteRtUnlockTensorBuffer(m->inputs[i]));
  }
}

// Every picture of `inputs_path` through the model, its first output appended to `outputs_path`; returns how many.
static size_t answer(Model *m, const char *inputs_path, const char *outputs_path) {
  size_t input_bytes = packed_size(m->inputs[0]), output_bytes = packed_size(m->outputs[0]), count = 0;
  FILE *in = fopen(inputs_path, "rb");
  if (!in) die(EXIT_FILES, "%s: %s", inputs_path, strerror(errno));
  FILE *out = fopen(outputs_path, "wb");
  if (!out) die(EXIT_FILES, "%s: %s", outputs_path, strerror(errno));
  uint8_t *picture = malloc(input_bytes);
  if (!picture) die(EXIT_FILES, "out of memory");
  for (size_t got; (got = fread(picture, 1, input_bytes, in)) > 0; count++) {
    if (got != input_bytes)
      die(EXIT_FILES, "%s ends in the middle of a picture: each has %zu bytes", inputs_path, input_bytes);
    void *address;
    CHECK(LiteRtLockTensorBuffer(m->inputs[0], &address, LOCK_WRITE));
    memcpy(address, picture, input_bytes);
    CHECK(LiteRtUnlockTensorBuffer(m->inputs[0]));
    run(m);
    CHECK(LiteRtLockTensorBuffer(m->outputs[0], &address, LOCK_READ));
    if (fwrite(address, 1, output_bytes, out) != output_bytes) die(EXIT_FILES, "%s: %s", outputs_path, strerror(errno));
    CHECK(LiteRtUnlockTensorBuffer(m->outputs[0]));
  }
  if (ferror(in)) die(EXIT_FILES, "%s: %s", inputs_path, strerror(errno));
  if (fclose(out)) die(EXIT_FILES, "%s: %s", outputs_path, strerror(errno));
  fclose(in);
  free(picture);
  return count;
}

// ---- timing ----

static double now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

static double *time_runs(Model *m, long n) {
  double *samples_ms = calloc(n > 0 ? n : 1, sizeof *samples_ms);
  if (!samples_ms) die(EXIT_LITERT, "out of memory");
  for (long i = 0; i < n; i++) {
    double start = now_ms();
    run(m);
    samples_ms[i] = now_ms() - start;
  }
  return samples_ms;
}

static void print_list(const char *name, const double *values, long n) {
  printf(",\"%s\":[", name);
  for (long i = 0; i < n; i++) printf("%s%.6f", i ? "," : "", values[i]);
  printf("]");
}

static const char *flag(const char *argument, const char *name) {
  size_t length = strlen(name);
  return strncmp(argument, name, length) == 0 && argument[length] == '=' ? argument + length + 1 : NULL;
}

static long whole_number(const char *text, long smallest) {
  char *end;
  errno = 0;
  long value = strtol(text, &end, 10);
  if (errno || *end || end == text || value < smallest) die(EXIT_USAGE, "%s is no whole number >= %ld", text, smallest);
  return value;
}

int main(int argc, char **argv) {
  const char *library = "libLiteRt.so", *graph = NULL, *inputs = NULL, *outputs = NULL, *value;
  long threads = 1, warmups = 10, warmup_ms = 0, samples = 50, seed = 0;
  for (int i = 1; i < argc; i++) {
    if ((value = flag(argv[i], "--lib"))) library = value;
    else if ((value = flag(argv[i], "--graph"))) graph = value;
    else if ((value = flag(argv[i], "--inputs"))) inputs = value;
    else if ((value = flag(argv[i], "--outputs"))) outputs = value;
    else if ((value = flag(argv[i], "--threads"))) threads = whole_number(value, 1);
    else if ((value = flag(argv[i], "--warmups"))) warmups = whole_number(value, 0);
    else if ((value = flag(argv[i], "--warmup-ms"))) warmup_ms = whole_number(value, 0);
    else if ((value = flag(argv[i], "--samples"))) samples = whole_number(value, 0);
    else if ((value = flag(argv[i], "--seed"))) seed = whole_number(value, 0);
    else die(EXIT_USAGE, "unknown flag %s", argv[i]);
  }
  if (!graph || !inputs != !outputs) die(EXIT_USAGE, "needs --graph, and --inputs together with --outputs");

  load_api(library);
  double start = now_ms();
  Model m = open_model(graph, (int)threads);
  double init_ms = now_ms() - start;
  printf("{\"schema\":\"edgefit.runner/1\",\"threads\":%ld,\"init_ms\":%.3f,\"input_bytes\":%zu,\"output_bytes\":%zu",
         threads, init_ms, packed_size(m.inputs[0]), packed_size(m.outputs[0]));
  if (inputs) printf(",\"answered\":%zu", answer(&m, inputs, outputs));
  if (samples > 0) {
    fill_with_noise(&m, (uint64_t)seed);
    double warm_until = now_ms() + (double)warmup_ms;
    print_list("warmups_ms", time_runs(&m, warmups), warmups);
    while (now_ms() < warm_until) run(&m);
    print_list("samples_ms", time_runs(&m, samples), samples);
  }
  printf("}\n");
  fflush(stdout);
  _exit(0);  // the process ends here: nothing of LiteRT needs to be taken down piece by piece
}
