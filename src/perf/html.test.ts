/** The page as text: one file, that lets run what it should and nothing else. What browsers make of it: tests/browser/flame.test.ts. */
import { createHash } from "node:crypto";
import { deflateRawSync, inflateRawSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { busyProfile, hostileProfile, randomProfile } from "../../tests/flame/profiles.ts";
import { flameData } from "./flame/data.ts";
import { pack } from "./flame/packing.ts";
import { type HtmlOptions, html, titleOf } from "./html.ts";

const script = "console.log(1)";
const page = { script, scriptHash: createHash("sha256").update(script).digest("base64") };
const written = (profile: Parameters<typeof html>[0], options: Partial<HtmlOptions> = {}): string =>
  [...html(profile, { page, title: "a title", ...options })].join("");

const dataOf = (text: string): Buffer => Buffer.from(/id="profile">([^<]*)<\/script>/.exec(text)![1]!, "base64");

describe("html", () => {
  it("holds the packed profile, deflated where it can be", () => {
    const profile = randomProfile(1, 100);
    const packed = Buffer.from(pack(flameData(profile)));
    expect(dataOf(written(profile)).equals(packed)).toBe(true);
    const smaller = written(profile, { deflate: (bytes) => deflateRawSync(bytes) });
    expect(inflateRawSync(dataOf(smaller)).equals(packed)).toBe(true);
    expect(smaller.length).toBeLessThan(written(profile).length);
  });

  it("holds both profiles of a comparison", () => {
    const [a, b] = [randomProfile(1, 100), randomProfile(2, 100)];
    expect(dataOf(written(a, { other: b })).equals(Buffer.from(pack(flameData(a, b))))).toBe(true);
  });

  it("allows one script, by its hash, and no source of anything", () => {
    const policy = /Content-Security-Policy" content="([^"]*)"/.exec(written(hostileProfile()))![1]!;
    expect(policy).toContain("default-src &#39;none&#39;; script-src &#39;sha256-");
    expect(policy).not.toMatch(/unsafe|https?:|\*|data:/);
  });

  it("has no markup from names or the title", () => {
    const text = written(hostileProfile(), { title: `</title><script>alert("1")</script>'&` });
    expect(text.match(/<[a-z/!][^>]*>/gi)!.map((tag) => tag.split(/[\s>]/)[0])).toEqual(
      [
        "<!doctype",
        "<html",
        "<head",
        "<meta",
        "<meta",
        "<meta",
        "<meta",
        "<title",
        "</title",
        "</head",
        "<body",
        "<p",
        "</p",
      ].concat(["<script", "</script", "<script", "</script", "</body", "</html"]),
    );
    expect(text).not.toContain("owned");
  });

  it("is called by its guests and what was counted", () => {
    const busy = (guests: string[]) => busyProfile({ samples: 10, seed: 1, guests });
    expect(titleOf(busy(["web"]))).toBe("web: CPU time");
    expect(titleOf(busy(["web", "db"]), busy(["db", "cache"]))).toBe("web, db, cache: CPU time, before and after");
    expect(titleOf(busy(["a", "b", "c", "d", "e", "f"]))).toBe("a, b, c, d, 2 more: CPU time");
  });
});
