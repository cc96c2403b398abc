export { type PageOptions, type PageServer, servePage } from "./server.ts";
