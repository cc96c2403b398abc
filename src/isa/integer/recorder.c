/*
 * Records what a real processor does with integer instructions, for execution.test.ts:
 *   gcc -O1 -no-pie -fno-pie -mno-red-zone -o recorder recorder.c && ./recorder > recorded.txt
 * For x86-64 Linux. One line per instruction ("# text | bytes | 64 or 32-bit mode"), then one per run:
 *   rax rbx rcx rdx flags > what changed, or the signal.
 * rsi and rdi are SOURCE and TARGET; memory from BUFFER on holds byte i = i * 37 + 11.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#define BUFFER 0x20000
#define SOURCE 0x20040
#define TARGET 0x20080
#define LENGTH 0x100
#define CODE 0x30000
#define STACK 0x60000
#define RUNS 6
#define ARITHMETIC_FLAGS 0x8d5
#define DIRECTION 0x400

struct entry { const uint8_t *code; uint64_t length; const char *text; uint64_t bits; };
extern const struct entry first_entry[] asm("__start_cases"), last_entry[] asm("__stop_cases");

#define CASE_IN(bits, text)                                                            \
  asm(".pushsection .text\n.code" #bits "\n1: " text "\n2:\n.code64\n.popsection\n"      \
      ".pushsection .rodata\n3: .asciz \"" text "\"\n.popsection\n"                     \
      ".pushsection cases,\"aw\"\n.quad 1b, 2b-1b, 3b, " #bits "\n.popsection\n");
#define CASE(text) CASE_IN(64, text)
#define CASE32(text) CASE_IN(32, text)
/* All sizes of a form: %b %w %k %q stand for the suffix and its registers. */
#define SIZES(op, b, w, k, q) CASE(op "b " b) CASE(op "w " w) CASE(op "l " k) CASE(op "q " q)
#define BINARY(op) SIZES(op, "%bl,%al", "%bx,%ax", "%ebx,%eax", "%rbx,%rax")                       \
  SIZES(op, "%bl,(%rdi)", "%bx,3(%rdi)", "%ebx,-4(%rdi)", "%rbx,(%rdi)") CASE(op "b %ch,%ah") CASE(op "l $-5,%eax")
#define UNARY(op) SIZES(op, "%bl", "%bx", "%ebx", "%rbx") CASE(op "l (%rdi)")
#define SHIFT(op) SIZES(op, "%cl,%al", "%cl,%ax", "%cl,%eax", "%cl,%rax") SIZES(op, "$1,%al", "$1,%ax", "$1,%eax", "$1,%rax") \
  SIZES(op, "$7,%ah", "$9,%ax", "$31,%eax", "$45,%rax") CASE(op "w %cl,(%rdi)")
#define DOUBLE(op) CASE(op "w %cl,%bx,%ax") CASE(op "l %cl,%ebx,%eax") CASE(op "q %cl,%rbx,%rax") CASE(op "w $5,%bx,%ax") \
  CASE(op "q $40,%rbx,%rax") CASE(op "l %cl,%ebx,(%rdi)")
#define WORDS(op) CASE(op "w %bx,%ax") CASE(op "l %ebx,%eax") CASE(op "q %rbx,%rax") CASE(op "l (%rsi),%eax")
#define BIT(op) CASE(op "w %bx,%ax") CASE(op "l %ebx,%eax") CASE(op "q %rbx,%rax") CASE(op "w $21,%ax") CASE(op "q $42,%rax") \
  CASE(op "l $9,(%rdi)")
#define FAR_BIT(op) CASE("movsbw %bl,%bx; " op "w %bx,(%rdi)") CASE("movsbl %bl,%ebx; " op "l %ebx,(%rdi)") \
  CASE("movsbq %bl,%rbx; " op "q %rbx,(%rdi)")
#define THREE(op) CASE(op " %ecx,%ebx,%eax") CASE(op " %rcx,%rbx,%rax")
#define TWO(op) CASE(op " %ebx,%eax") CASE(op " %rbx,%rax")
#define STRING(op) CASE(op "b") CASE(op "w") CASE(op "l") CASE(op "q")
#define COUNTED(prefix, op) CASE("movzbl %cl,%ecx; and $15,%ecx; " prefix " " op "b") CASE("and $7,%ecx; " prefix " " op "w") \
  CASE("and $3,%ecx; " prefix " " op "l") CASE("and $3,%ecx; " prefix " " op "q")
#define ON(cc) CASE("cmov" cc "l %ebx,%eax") CASE("cmov" cc "w %bx,%ax") CASE("set" cc " %al")

BINARY("add") BINARY("or") BINARY("adc") BINARY("sbb") BINARY("and") BINARY("sub") BINARY("xor") BINARY("cmp")
BINARY("test") UNARY("inc") UNARY("dec") UNARY("neg") UNARY("not")
SIZES("xadd", "%bl,%al", "%bx,%ax", "%ebx,%eax", "%rbx,(%rdi)")
SIZES("cmpxchg", "%cl,%bl", "%cx,%bx", "%ecx,%ebx", "%rcx,(%rdi)") CASE("mov %ebx,%eax; cmpxchg %ecx,%ebx")
CASE("cmpxchg8b (%rdi)") CASE("cmpxchg16b (%rdi)") CASE("mov (%rdi),%eax; mov 4(%rdi),%edx; cmpxchg8b (%rdi)")
CASE("mov (%rdi),%rax; mov 8(%rdi),%rdx; cmpxchg16b (%rdi)")
SHIFT("rol") SHIFT("ror") SHIFT("rcl") SHIFT("rcr") SHIFT("shl") SHIFT("shr") SHIFT("sar") DOUBLE("shld") DOUBLE("shrd")
/* Rotates by an immediate treat OF in their own way: by 1, by 33, by 32, and memory. */
CASE(".byte 0xc1,0xc0,0x01") CASE(".byte 0xc1,0xc8,0x01") CASE("roll $33,%eax") CASE("rorl $33,%eax") CASE("roll $32,%eax") CASE("rorb $8,%al")
CASE("rolb $9,%al") CASE("rorb $17,%al") CASE("rolw $17,%ax") CASE("rolq $1,(%rdi)") CASE("rolq $3,(%rdi)") CASE("rorl $5,(%rdi)") CASE("rclb $9,%al")
CASE(".byte 0xc1,0xd0,0x01") CASE(".byte 0xc1,0xd8,0x01") CASE("shll $33,%eax") CASE("sarb $20,%al")
UNARY("mul") UNARY("imul") WORDS("imul") CASE("imulw $-300,%bx,%ax") CASE("imull $70000,%ebx,%eax") CASE("imulq $-3,%rbx,%rax")
UNARY("div") UNARY("idiv") CASE("movzbl %dl,%edx; divq %rbx") CASE("movsbq %dl,%rdx; idivq %rbx") CASE("cqto; idivq %rbx")
CASE("shr $40,%rdx; shr $20,%rbx; divq %rbx") CASE("sar $20,%rdx; sar $10,%rbx; idivq %rbx") CASE("xor %edx,%edx; divl %ebx")
CASE("cltd; idivl %ebx") CASE("cwtd; idivw %bx") CASE("cbtw; idivb %bl") CASE("movzbw %al,%ax; divb %bl")
CASE("xor %ebx,%ebx; divl %ebx") CASE("mov $1,%eax; ror $1,%rax; cqto; mov $-1,%rbx; idivq %rbx")
CASE("mov $0x80000000,%eax; cltd; mov $-1,%ebx; idivl %ebx")
BIT("bt") BIT("bts") BIT("btr") BIT("btc") FAR_BIT("bt") FAR_BIT("bts") FAR_BIT("btr") FAR_BIT("btc")
WORDS("bsf") WORDS("bsr") WORDS("tzcnt") WORDS("lzcnt") WORDS("popcnt")
CASE("xor %ebx,%ebx; bsf %ebx,%eax") CASE("xor %ebx,%ebx; bsr %rbx,%rax") CASE("xor %ebx,%ebx; lzcnt %bx,%ax")
CASE("xor %ebx,%ebx; tzcnt %bx,%ax")
CASE("crc32b %bl,%eax") CASE("crc32w %bx,%eax") CASE("crc32l %ebx,%eax") CASE("crc32q %rbx,%rax") CASE("crc32b %bl,%rax")
TWO("adcx") TWO("adox") THREE("andn") TWO("blsr") TWO("blsmsk") TWO("blsi") CASE("xor %ebx,%ebx; blsr %ebx,%eax")
CASE("xor %ebx,%ebx; blsi %ebx,%eax") THREE("bextr") THREE("bzhi") THREE("mulx") THREE("pdep") THREE("pext")
THREE("sarx") THREE("shlx") THREE("shrx") CASE("rorx $7,%ebx,%eax") CASE("rorx $40,%rbx,%rax") CASE("mulx %rbx,%rcx,%rcx")
CASE("mov $0x205,%ecx; bextr %ecx,%ebx,%eax") CASE("mov $0x2000,%ecx; bextr %rcx,%rbx,%rax")
CASE("bswap %eax") CASE("bswap %rax") CASE(".byte 0x66,0x0f,0xc8") CASE("movbe (%rsi),%ax") CASE("movbe (%rsi),%eax")
CASE("movbe (%rsi),%rax") CASE("movbe %bx,(%rdi)") CASE("movbe %rbx,(%rdi)")
CASE("movzbl %bl,%eax") CASE("movzbw %bh,%ax") CASE("movzwq %bx,%rax") CASE("movsbl %bl,%eax") CASE("movsbw %bl,%ax")
CASE("movsbq %bl,%rax") CASE("movswl %bx,%eax") CASE("movswq %bx,%rax") CASE("movslq %ebx,%rax") CASE("movslq (%rsi),%rax")
CASE("mov %bh,%al") CASE("mov $0x12345678,%ebx") CASE("movq $-2,%rbx") CASE("movabs $0x123456789abcdef0,%rbx") CASE("movb $7,(%rdi)")
CASE("movabs 0x20041,%rax") CASE("movabs %ax,0x20081") CASE("lea 5(%rax,%rbx,4),%rcx") CASE("lea 5(%eax,%ebx,8),%ecx")
CASE("lea (%eax,%ebx),%rcx") CASE("lea -1(%rax),%cx") CASE("xchg %al,%bh") CASE("xchg %ax,%bx") CASE("xchg %eax,%ebx")
CASE("xchg %rbx,(%rdi)") CASE("nop") CASE(".byte 0x87,0xc0") CASE("pause") CASE("cbtw") CASE("cwtl") CASE("cltq") CASE("cwtd") CASE("cltd")
CASE("cqto") CASE("mov %rsi,%rbx; xlat") CASE("lahf") CASE("sahf") CASE("clc") CASE("stc") CASE("cmc")
ON("o") ON("no") ON("b") ON("nb") ON("z") ON("nz") ON("be") ON("a") ON("s") ON("ns") ON("p") ON("np") ON("l") ON("ge")
ON("le") ON("g") CASE("cmovz (%rsi),%rax")
STRING("movs") STRING("stos") STRING("lods") STRING("scas") STRING("cmps") COUNTED("rep", "movs") COUNTED("rep", "stos")
COUNTED("rep", "lods") COUNTED("repe", "cmps") COUNTED("repne", "cmps") COUNTED("repe", "scas") COUNTED("repne", "scas")
CASE("std; movsw; cld") CASE("std; and $7,%ecx; rep stosl; cld") CASE("std; and $15,%ecx; rep movsb; cld")
CASE("lea 1(%rsi),%rdi; and $31,%ecx; rep movsb") CASE("lea 6(%rsi),%rdi; and $7,%ecx; rep movsw") CASE("lea 2(%rsi),%rdi; and $3,%ecx; rep movsl")
CASE("std; lea -3(%rsi),%rdi; and $15,%ecx; rep movsb; cld") CASE("and $7,%ecx; addr32 rep stosb")
CASE("push %rbx; pop %rax") CASE("push %bx; pop %ax") CASE("push $-2; pop %rax") CASE("push %rbx; pop (%rdi)") CASE("pushw $0x1234; pop %bx")
CASE("push %rbx; pushq (%rsi); pop %rax; pop %rcx") CASE("push %rbx; push %rax; popq 0(%rsp); pop %rcx")
CASE("mov %rsp,%rcx; push %rsp; pop %rax; sub %rax,%rcx; xor %eax,%eax") CASE("mov %rsp,%rax; push %rax; pop %rsp; sub %rsp,%rax")
CASE("push %rbp; mov %rsp,%rbp; mov %rsp,%rax; enter $32,$0; sub %rsp,%rax; leave; pop %rbp; test %eax,%eax")
CASE("push %rbp; mov %rsp,%rbp; mov %rsp,%rax; enter $16,$1; sub %rsp,%rax; mov (%rbp),%rcx; sub %rbp,%rcx; mov -8(%rbp),%rdx; sub %rbp,%rdx; leave; pop %rbp; test %eax,%eax")
CASE("jmp 5f; mov $1,%eax; 5:") CASE("jz 5f; mov $1,%eax; 5:") CASE("jl 5f; mov $1,%eax; 5:") CASE("jbe 5f; mov $1,%eax; 5:")
CASE("and $3,%ecx; or $1,%ecx; 5: inc %eax; loop 5b") CASE("movzbl %cl,%ecx; 5: inc %al; loopnz 5b") CASE("jrcxz 5f; mov $1,%eax; 5:")
CASE("xor %ecx,%ecx; jrcxz 5f; mov $1,%eax; 5:") CASE("and $1,%ecx; jecxz 5f; mov $1,%eax; 5:")
CASE("call 5f; jmp 6f; 5: mov $1,%eax; ret; 6:") CASE("lea 5f(%rip),%rbx; call *%rbx; jmp 6f; 5: mov $1,%eax; push $9; lea 7f(%rip),%rbx; jmp *%rbx; 7: pop %rbx; ret; 6: lea 6b(%rip),%rdx; sub %rdx,%rdx; xor %ebx,%ebx")
CASE("push %rbx; push %rbx; call 5f; jmp 6f; 5: ret $16; 6:")
CASE("endbr64") CASE("lfence") CASE("mfence") CASE("sfence") CASE("nopl 8(%rax,%rax)") CASE("clflush (%rsi)") CASE("prefetcht0 (%rax)") CASE("ud2")


/* 32-bit mode. What depends on the alignment of the stack ends with an instruction that sets the flags. */
CASE32("aaa") CASE32("aas") CASE32("aam") CASE32("aad") CASE32("aam $7") CASE32("aad $16") CASE32("aam $0") CASE32("daa") CASE32("das")
CASE32("and $15,%al; aaa") CASE32("and $15,%al; aas") CASE32("and $0x9f,%al; add $0x27,%al; daa") CASE32("and $0x99,%al; sub $0x28,%al; das")
CASE32(".byte 0xd6") CASE32("inc %eax") CASE32("dec %ax") CASE32(".byte 0x82,0xd0,0x85") CASE32("movb $3,%al; add $4,%al; aaa")
CASE32("pusha; xor %eax,%eax; mov %eax,%ebx; mov %eax,%ecx; mov %eax,%esi; popa; test %eax,%eax")
CASE32("pusha; mov 28(%esp),%ebx; mov 24(%esp),%edx; mov 4(%esp),%ecx; mov 12(%esp),%eax; sub %esp,%eax; add $32,%esp; test %eax,%eax")
CASE32("pushaw; popaw") CASE32("pushaw; pop %eax; pop %ebx; pop %ecx; pop %edx; mov $0,%bx; test %eax,%eax")
CASE32("push %ebx; pop %eax") CASE32("push %bx; pop %ax") CASE32("pushl $-2; pop %eax") CASE32("pushw $-2; pop %ax") CASE32("pushl (%esi); popl (%edi)")
CASE32("push %ebx; push %eax; popl (%esp); pop %ecx") CASE32("push %ebx; popw (%edi); popw 4(%edi)") CASE32("mov %esp,%eax; push %eax; pop %esp; sub %esp,%eax")
CASE32("push %ebp; mov %esp,%eax; enter $32,$0; sub %esp,%eax; leave; pop %ebp; test %eax,%eax")
CASE32("push %ebp; mov %esp,%ebp; mov %esp,%eax; enter $16,$3; sub %esp,%eax; mov (%ebp),%ecx; sub %ebp,%ecx; mov -12(%ebp),%edx; sub %ebp,%edx; add $12,%esp; add $0,%esp; leave; pop %ebp; test %eax,%eax")
CASE32("push %ebp; mov %esp,%eax; enterw $8,$0; sub %esp,%eax; add $8,%esp; pop %bp; pop %ebp; test %eax,%eax")
CASE32("call 5f; jmp 6f; 5: mov $1,%eax; ret; 6:") CASE32("push %ebx; push %ebx; call 5f; jmp 6f; 5: ret $8; 6:")
CASE32("call 5f; 5: pop %ebx; add $6,%ebx; jmp *%ebx; nop; mov $0,%ebx") CASE32("bound %eax,(%esi)") CASE32("mov (%esi),%eax; bound %eax,(%esi)")
CASE32("movl $-5,(%edi); movl $9,4(%edi); bound %eax,(%edi)") CASE32("movw $-5,(%edi); movw $9,2(%edi); bound %ax,(%edi)")
CASE32("movw $-5,(%edi); movw $9,2(%edi); mov $-3,%eax; bound %ax,(%edi)") CASE32("movw $-5,(%edi); movw $9,2(%edi); mov $-6,%eax; bound %ax,(%edi)")
CASE32("or $1,%cl; and $7,%ecx; or $0x50000,%ecx; 5: inc %eax; addr16 loop 5b") CASE32("and $0xffff0001,%ecx; jcxz 5f; mov $1,%eax; 5:")
CASE32("jecxz 5f; mov $1,%eax; 5:") CASE32("and $3,%ecx; or $1,%ecx; 5: inc %eax; loop 5b") CASE32("lea 5(%bx,%si),%eax") CASE32("lea 0x1234(%bx,%di),%ax")
CASE32("lea -1(%bx),%eax") CASE32("lea 8(%eax,%ebx,8),%ecx") CASE32("lea 8(%eax,%ebx,2),%cx") CASE32("mov 0x20044,%eax") CASE32("mov %al,0x20084") CASE32("cmpxchg8b (%edi)")
CASE32("add %ebx,%eax") CASE32("adc %bx,(%edi)") CASE32("shld %cl,%ebx,%eax") CASE32("mul %ebx") CASE32("imul %ebx,%eax") CASE32("xor %edx,%edx; div %ebx")
CASE32("cltd; idiv %ebx") CASE32("and $7,%ecx; rep movsl") CASE32("and $7,%ecx; rep stosw") CASE32("and $7,%ecx; repe cmpsb") CASE32("and $7,%ecx; es lodsb")
CASE32("std; and $3,%ecx; rep movsw; cld") CASE32("mov %esi,%ebx; xlat") CASE32("lahf") CASE32("sahf") CASE32("movsbl %bl,%ebx; bts %ebx,(%edi)")
CASE32("xchg %eax,%ecx") CASE32("nop") CASE32("bswap %ebx") CASE32("cmovz %ebx,%eax") CASE32("setl %al") CASE32("cbtw") CASE32("cwtd") CASE32("cltd")
CASE32("andn %ecx,%ebx,%eax") CASE32("pdep %ecx,%ebx,%eax") CASE32("rorx $7,%ebx,%eax") CASE32("mulx %ebx,%ecx,%eax") CASE32("popcnt %ebx,%eax") CASE32("crc32l %ebx,%eax")

/* rax, rbx, rcx, rdx, rsi, rdi, flags */
struct state { uint64_t words[7]; } state;
uint64_t saved[2];
static sigjmp_buf recover;
static void caught(int number) { siglongjmp(recover, number); }

static uint64_t seed = 0x9e3779b97f4a7c15;
static uint64_t next(void) {
  seed ^= seed << 13;
  seed ^= seed >> 7;
  seed ^= seed << 17;
  return seed;
}
/* Values near the ends of the ranges as often as any. */
static uint64_t value(void) {
  static const uint64_t special[] = { 0, 1, 2, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff,
    0x7fffffffffffffff, 0x8000000000000000, 0xffffffffffffffff, 0x100000000 };
  uint64_t r = next();
  switch (r >> 62) {
    case 0: return special[r & 15];
    case 1: return next() >> (r & 63);
    default: return next();
  }
}

static void run(void *code) {
  uint64_t source = SOURCE, target = TARGET;
  asm volatile(
    "push %%rbp\n push %%r12\n push %%r13\n lea state(%%rip), %%r12\n push %2\n"
    "mov (%%r12), %%rax\n mov 8(%%r12), %%rbx\n mov 16(%%r12), %%rcx\n mov 24(%%r12), %%rdx\n"
    "pushq 48(%%r12)\n popfq\n call *(%%rsp)\n pushfq\n popq 48(%%r12)\n cld\n"
    "mov %%rax, (%%r12)\n mov %%rbx, 8(%%r12)\n mov %%rcx, 16(%%r12)\n mov %%rdx, 24(%%r12)\n"
    "mov %%rsi, 32(%%r12)\n mov %%rdi, 40(%%r12)\n"
    "add $8, %%rsp\n pop %%r13\n pop %%r12\n pop %%rbp\n"
    : "+S"(source), "+D"(target) : "r"(code)
    : "rax", "rbx", "rcx", "rdx", "cc", "memory");
}

/* The same through a 32-bit code segment, with a stack that it can address. */
struct { uint32_t offset; uint16_t selector; } __attribute__((packed)) entry32 = { CODE, 0x23 };
static void run32(void) {
  uint64_t source = SOURCE, target = TARGET;
  asm volatile(
    "push %%rbp\n push %%r12\n push %%r13\n mov %%rsp, %%r13\n lea state(%%rip), %%r12\n"
    "mov %%r13, saved(%%rip)\n mov %%r12, saved+8(%%rip)\n mov $0x2b, %%eax\n mov %%eax, %%ds\n mov %%eax, %%es\n"
    "mov %2, %%esp\n"
    "mov (%%r12), %%rax\n mov 8(%%r12), %%rbx\n mov 16(%%r12), %%rcx\n mov 24(%%r12), %%rdx\n"
    "pushq 48(%%r12)\n popfq\n lcall *entry32(%%rip)\n mov saved+8(%%rip), %%r12\n pushfq\n popq 48(%%r12)\n cld\n"
    "mov %%eax, (%%r12)\n mov %%ebx, 8(%%r12)\n mov %%ecx, 16(%%r12)\n mov %%edx, 24(%%r12)\n"
    "mov %%esi, 32(%%r12)\n mov %%edi, 40(%%r12)\n mov saved(%%rip), %%rsp\n"
    "xor %%eax, %%eax\n mov %%eax, %%ds\n mov %%eax, %%es\n"
    "pop %%r13\n pop %%r12\n pop %%rbp\n"
    : "+S"(source), "+D"(target) : "i"(STACK)
    : "rax", "rbx", "rcx", "rdx", "r8", "r9", "r10", "r11", "r14", "r15", "cc", "memory");
}

int main(void) {
  static const char *names[] = { "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "flags" };
  const int fixed = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
  uint8_t *code = mmap((void *)CODE, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, fixed, -1, 0);
  uint8_t *buffer = mmap((void *)BUFFER, 4096, PROT_READ | PROT_WRITE, fixed, -1, 0);
  uint8_t *stack = mmap((void *)(STACK - 0x10000), 0x20000, PROT_READ | PROT_WRITE, fixed, -1, 0);
  if (code == MAP_FAILED || buffer == MAP_FAILED || stack == MAP_FAILED) return 2;
  for (int number = SIGILL; number <= SIGSEGV; number++) signal(number, caught);
  for (const struct entry *e = first_entry; e < last_entry; e++) {
    uint64_t mask = e->bits == 64 ? ~0ul : 0xffffffff;
    printf("# %s | ", e->text);
    for (unsigned i = 0; i < e->length; i++) printf("%02x", e->code[i]);
    printf(" | %lu\n", e->bits);
    memcpy(code, e->code, e->length);
    code[e->length] = e->bits == 64 ? 0xc3 : 0xcb;
    for (int n = 0; n < RUNS; n++) {
      struct state before = { { value(), value(), value(), value(), SOURCE, TARGET, 0x202 | (next() & ARITHMETIC_FLAGS) } };
      for (int i = 0; i < LENGTH; i++) buffer[i] = (uint8_t)(i * 37 + 11);
      for (int i = 0; i < 4; i++) printf("%lx ", before.words[i] &= mask);
      printf("%lx >", before.words[6]);
      state = before;
      int fault = sigsetjmp(recover, 1);
      if (fault) {
        printf(" signal=%d\n", fault);
        continue;
      }
      if (e->bits == 64) run(code);
      else run32();
      state.words[6] &= ARITHMETIC_FLAGS | DIRECTION | 0x202;
      for (int i = 0; i < 7; i++) if (state.words[i] != before.words[i]) printf(" %s=%lx", names[i], state.words[i]);
      for (int i = 0; i < LENGTH; i++) if (buffer[i] != (uint8_t)(i * 37 + 11)) printf(" %x:%02x", i, buffer[i]);
      printf("\n");
    }
  }
  return 0;
}
