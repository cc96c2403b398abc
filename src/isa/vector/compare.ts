/** Comparisons of integer lanes: all ones where they hold (SDM vol. 1, 5.4.4, 5.6.3, 5.10.12, 5.11.2). */
import { both, same, xmmOnly } from "./forms.ts";

export const COMPARES = [
  ...both("PCMPEQB", "0F 74", "- sse2", same("i8x16.eq")),
  ...both("PCMPEQW", "0F 75", "- sse2", same("i16x8.eq")),
  ...both("PCMPEQD", "0F 76", "- sse2", same("i32x4.eq")),
  ...both("PCMPGTB", "0F 64", "- sse2", same("i8x16.gt_s")),
  ...both("PCMPGTW", "0F 65", "- sse2", same("i16x8.gt_s")),
  ...both("PCMPGTD", "0F 66", "- sse2", same("i32x4.gt_s")),
  ...xmmOnly("PCMPEQQ", "0F 38 29", "sse41", same("i64x2.eq")),
  ...xmmOnly("PCMPGTQ", "0F 38 37", "sse42", same("i64x2.gt_s")),
];
