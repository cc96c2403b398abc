/** What a guest may be called, and names for those that were given none. */
import { VivError } from "../../base/index.ts";

/** A name is a file's too: with what follows it, it has to fit the 255 bytes of a file name and be told from hidden files. */
const NAME = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$/;

export const NAME_RULE =
  "a name has 1 to 63 letters, digits, dots, dashes and underscores, and begins with a letter or digit";

export const isName = (text: string): boolean => NAME.test(text);

/** Throws VivError `config.name` where that is no name for a guest. */
export function checkName(name: string): string {
  if (!isName(name)) throw new VivError("config.name", `${JSON.stringify(name)} names no guest: ${NAME_RULE}`);
  return name;
}

const ADJECTIVES =
  "able amber bold brave brief bright brisk calm candid clear clever cosmic crisp deep eager early fair fast fine fresh gentle glad golden grand green happy honest humble keen kind late light lively loyal lucky mellow merry mild modest neat nimble noble open patient plain proud quick quiet rapid ready royal silent simple smart smooth solid steady still swift tidy warm wise witty";
const NOUNS =
  "alder aspen badger beech birch bison cedar comet condor crane cypress dolphin eagle elm falcon fern finch fox gecko hare hazel heron ibex iris ivy jay kestrel koala lark lemur lily linden lotus lynx magpie maple marten moss newt oak orca osprey otter owl panda pine plover poplar puffin raven robin rowan sage seal sparrow spruce starling stork swan tern thrush trout tulip vole walrus willow wren yew";
const adjectives = ADJECTIVES.split(" ");
const nouns = NOUNS.split(" ");

/** A name that is easy to read and to say, `calm-otter`. `random` answers with an integer below its argument. */
export const madeUpName = (random: (below: number) => number): string =>
  `${adjectives[random(adjectives.length)]}-${nouns[random(nouns.length)]}`;

/** How many there are. */
export const MADE_UP_NAMES = adjectives.length * nouns.length;
