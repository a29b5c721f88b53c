// Seven days, one row each, or one day, four hours a row, drawn as SVG. The list of incidents below says the same in words.

const LANE = 15;
const MOST_LANES = 6;
const BAR = 7;

function days() {
  const found = [];
  for (let back = 6; back >= 0; back -= 1) {
    const start = new Date(now());
    start.setHours(0, 0, 0, 0);
    start.setDate(start.getDate() - back);
    const end = new Date(start);
    end.setDate(end.getDate() + 1);
    found.push({ start: start.getTime(), end: end.getTime() });
  }
  return found;
}

const dayLabel = (day) => `${WEEKDAY.format(day.start)} ${new Date(day.start).getDate()}`;

function parts(day) {
  return [0, 4, 8, 12, 16, 20].map((hour) => {
    const [start, end] = [new Date(day), new Date(day)];
    start.setHours(hour);
    end.setHours(hour + 4);
    return { start: start.getTime(), end: end.getTime() };
  });
}

// Bars of one row, each on the first lane that is free where it begins.
function laid(incidents, day, widthOf) {
  const lanes = [];
  const bars = [];
  for (const incident of incidents) {
    const opened = Date.parse(incident.opened_at);
    const closed = incident.closed_at ? Date.parse(incident.closed_at) : now();
    if (opened >= day.end || closed < day.start) continue;
    const left = widthOf(Math.max(opened, day.start));
    const right = Math.max(widthOf(Math.min(closed, day.end)), left + 6);
    let lane = lanes.findIndex((end) => end + 2 <= left);
    if (lane < 0) lane = lanes.push(0) - 1;
    lanes[lane] = right;
    bars.push({ incident, left, right, lane });
  }
  return { bars, lanes: Math.min(lanes.length, MOST_LANES) };
}

const COUNTED = ["recovered", "cleared", "ended", "undelivered", "failed", "quarantined", "open"];
function tally(incidents) {
  const counts = COUNTED.map((outcome) => [outcome, incidents.filter((one) => one.outcome === outcome).length]);
  return counts.filter(([, count]) => count).map(([outcome, count]) => `${count} ${OUTCOMES[outcome]}`).join(", ");
}

function drawTimeline(incidents, width) {
  const label = width < 500 ? 52 : 64;
  const inner = Math.max(120, width - label - 8);
  const oldestFirst = [...incidents].sort((one, other) => Date.parse(one.opened_at) - Date.parse(other.opened_at));
  const ground = [];
  const bars = [];
  const said = [];
  let y = 20;
  const top = y;
  for (const day of zoomed === null ? days() : parts(zoomed)) {
    const x = (at) => label + ((at - day.start) / (day.end - day.start)) * inner;
    const { bars: placed, lanes } = laid(oldestFirst, day, x);
    const height = Math.max(1, lanes) * LANE + 8;
    const isToday = day.start <= now() && now() < day.end;
    const name = zoomed === null ? dayLabel(day) : CLOCK.format(day.start);
    ground.push(
      s("rect", { x: label, y, width: inner, height: height - 2, rx: 4, class: "day" }),
      s("text", { x: 0, y: y + height / 2 + 3, class: isToday ? "label today" : "label" }, name),
    );
    if (day.start > now()) ground.push(s("rect", { x: label, y, width: inner, height: height - 2, rx: 4, class: "future" }));
    if (isToday) {
      const at = x(now());
      ground.push(s("rect", { x: at, y, width: Math.max(0, label + inner - at), height: height - 2, rx: 4, class: "future" }));
      ground.push(s("line", { x1: at, x2: at, y1: y - 1, y2: y + height - 1, class: "now" }));
    }
    const shown = placed.filter((bar) => bar.lane < MOST_LANES);
    for (const bar of shown) bars.push(drawBar(bar, day, x, y + 4 + bar.lane * LANE));
    if (placed.length) said.push(`${zoomed === null ? DAY.format(day.start) : name}: ${tally(placed.map((bar) => bar.incident))}`);
    y += height;
  }
  const [hours, step] = zoomed === null ? [24, 6] : [4, 1];
  for (let hour = 0; hour <= hours; hour += step) {
    const at = label + (hour / hours) * inner;
    const anchor = hour === 0 ? "start" : hour === hours ? "end" : "middle";
    const mark = zoomed === null ? `${String(hour).padStart(2, "0")}:00` : `+${hour} h`;
    ground.push(s("line", { x1: at, x2: at, y1: top - 3, y2: y, class: "hour" }));
    ground.push(s("text", { x: at, y: 11, class: "label", "text-anchor": anchor }, mark));
  }
  const text = said.length ? `${said.join("; ")}.` : "Nothing was stuck.";
  return s(
    "svg",
    { viewBox: `0 0 ${width} ${y}`, width, height: y, role: "img", "aria-labelledby": "timeline-name timeline-text", class: "chart" },
    s("title", { id: "timeline-name" }, zoomed === null ? "Incidents and deeds of the last 7 days, one row a day" : `Incidents and deeds of ${DAY.format(zoomed)}, four hours a row`),
    s("desc", { id: "timeline-text" }, text),
    ground,
    bars,
  );
}

function drawBar({ incident, left, right }, day, x, y) {
  const lasted = span((incident.closed_at ? Date.parse(incident.closed_at) : now()) - Date.parse(incident.opened_at));
  const group = s(
    "g",
    { class: `bar ${incident.outcome}` },
    s("title", {}, `${shownKey(incident.session)}: ${OUTCOMES[incident.outcome]}, ${when(incident.opened_at)}, ${lasted}`),
    s("rect", { x: left, y, width: right - left, height: BAR, rx: 2.5 }),
  );
  for (const attempt of incident.attempts) {
    if (!attempt.started_at) continue;
    const at = Date.parse(attempt.started_at);
    if (at < day.start || at >= day.end) continue;
    const worked = attempt.state === "succeeded";
    group.append(s("circle", { cx: x(at), cy: y + BAR + 3.6, r: 2.1, class: worked ? "deed worked" : "deed" }));
  }
  return group;
}

function legend() {
  const key = (kind, text) => h("li", { class: `key ${kind}` }, text);
  return h("ul", { class: "legend", "aria-label": "Legend" },
    key("recovered", "recovered"), key("cleared", OUTCOMES.cleared), key("quarantined", "quarantined"), key("open", "open"),
    key("deed worked", "deed that worked"), key("deed", "deed that did not"));
}
