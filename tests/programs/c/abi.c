/* What programs that call atrous have compiled into them: sizes, places of fields, numbers of constants, one a line. */
#include <atrous/atrous_c.h>
#include <stddef.h>
#include <stdio.h>

#define SIZE(type) printf("%s %zu\n", #type, sizeof(type))
#define FIELD(type, field) printf("%s.%s %zu+%zu\n", #type, #field, offsetof(type, field), sizeof(((type*)0)->field))
#define NUMBER(name) printf("%s %d\n", #name, (int)(name))

int main(void) {
#include "abi_lines.inc"
  return 0;
}
