// Elements, instants and spans; the words for outcomes and the like come from page/__init__.py. Text only ever goes in as text, and what does not print is escaped: nothing here takes HTML.

// As core/printable.py has it: what others wrote prints, and a key can be pasted back.
const UNSEEN = /(?! )[\p{C}\p{Z}\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\u{e0100}-\u{e01ef}]/gu;
const ESCAPE = /\\(?:\\|x[0-9a-f]{2}|u[0-9a-f]{4}|U000[0-9a-f]{5}|U0010[0-9a-f]{4})/;
function escapeOf(char) {
  const number = char.codePointAt(0);
  if (number < 0x100) return `\\x${number.toString(16).padStart(2, "0")}`;
  return number < 0x10000 ? `\\u${number.toString(16).padStart(4, "0")}` : `\\U${number.toString(16).padStart(8, "0")}`;
}
const visible = (text) => text.replace(UNSEEN, escapeOf);
function escaped(key) {
  const begins = key.replace(/^(?:-|\p{M})/u, escapeOf);
  if (visible(begins) === key && !ESCAPE.test(key)) return key;
  return key.replace(/\\/g, "\\\\").replace(/^(?:-|\p{M})/u, escapeOf).replace(UNSEEN, escapeOf);
}
const shownKey = (key) => (/^[A-Za-z0-9_@%+=:,.\/-][A-Za-z0-9_@%+=:,.\/#-]*$/.test(escaped(key)) ? escaped(key) : quoted(escaped(key)));

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "onclick") element.addEventListener("click", value);
    else element.setAttribute(name, value === true ? "" : visible(String(value)));
  }
  const shown = children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
  element.append(...shown.map((child) => (child instanceof Node ? child : visible(String(child)))));
  return element;
}
const h = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
const s = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

let clockAhead = 0; // the daemon's clock minus this browser's, in milliseconds
const now = () => Date.now() + clockAhead;

function span(milliseconds) {
  let seconds = Math.max(0, Math.floor(milliseconds / 1000));
  if (seconds < 60) return `${seconds}s`;
  let minutes = Math.floor(seconds / 60);
  seconds %= 60;
  if (minutes < 60) return seconds ? `${minutes}m${String(seconds).padStart(2, "0")}s` : `${minutes}m`;
  let hours = Math.floor(minutes / 60);
  minutes %= 60;
  if (hours < 48) return minutes ? `${hours}h${String(minutes).padStart(2, "0")}m` : `${hours}h`;
  const days = Math.floor(hours / 24);
  hours %= 24;
  return hours ? `${days}d${String(hours).padStart(2, "0")}h` : `${days}d`;
}

const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const CLOCK_SECONDS = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const DAY = new Intl.DateTimeFormat(undefined, { weekday: "short", day: "numeric", month: "short" });
const WEEKDAY = new Intl.DateTimeFormat(undefined, { weekday: "short" });
const ZONE = Intl.DateTimeFormat().resolvedOptions().timeZone || "local time";

const sameDay = (one, other) => new Date(one).toDateString() === new Date(other).toDateString();

// "14:03" today, "Thu 19 Nov 14:03" otherwise.
function when(iso, format = CLOCK) {
  const at = new Date(iso);
  return sameDay(at, now()) ? format.format(at) : `${DAY.format(at)} ${format.format(at)}`;
}
const instant = (iso, format) => h("time", { datetime: iso, title: iso }, when(iso, format));

// Spans that go on by themselves: the text is renewed every second, outside of any live region.
const since = (iso) => h("span", { "data-since": iso, class: "ticking" }, span(now() - Date.parse(iso)));
const until = (iso) => h("span", { "data-until": iso, class: "ticking" }, countdown(iso));
function countdown(iso) {
  const left = Date.parse(iso) - now();
  return left > 0 ? `in ${span(left)}` : "any moment";
}

const plural = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;
const LASTED = { no_owner: "Nothing works on it for", silent: "No sign of progress for", running: "Working for" };
const LIMITS = { no_owner: "stuck from", silent: "unclear from", running: "long from" };

const words = (camel) => camel.replace(/([a-z0-9])([A-Z])/g, "$1 $2").toLowerCase();
const quoted = (text) => (/^[A-Za-z0-9_@%+=:,.\/-]+$/.test(text) ? text : `'${text.replaceAll("'", `'"'"'`)}'`);

// A command's words; they name the configuration where the command would not find it.
const typed = (...parts) => ["openclaw-watchdog", ...parts, ...(state.config_file ? ["--config", state.config_file] : [])].map(quoted);
function command(...parts) {
  const written = typed(...parts);
  const line = written.join(" ");
  // No option is broken after its hyphens.
  const shown = written.flatMap((word, at) => [at ? " " : "", word.startsWith("--") ? h("span", { class: "option" }, word) : word]);
  const button = h("button", { type: "button", class: "copy", "aria-label": `Copy: ${line}`, "data-key": `copy ${line}`, onclick: () => copy(line, button) }, "Copy");
  return h("p", { class: "command" }, h("code", {}, ...shown), button);
}
async function copy(line, button) {
  try {
    await navigator.clipboard.writeText(line);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Select it";
  }
  setTimeout(() => { button.textContent = "Copy"; }, 1500);
}
