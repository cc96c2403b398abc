/** For `npm run silicon`: the one "test" here writes the records. */
import { defineConfig } from "vitest/config";

export default defineConfig({ test: { include: ["tests/silicon/record.ts"] } });
