// The page: one section per kind of fact, each drawn anew only when its own facts change.

const byId = (id) => document.getElementById(id);
const drawn = new Map();
let state = null;
let isLive = false;
let heardAt = null;
let showsAll = false;
let filter = "";
let zoomed = null; // the beginning of the day that the chart shows alone
const SILENT_AFTER = 40000; // milliseconds; it says something every 15 seconds

// ---------------------------------------------------------------- sections

function draw(id, facts, build) {
  const print = JSON.stringify(facts);
  if (drawn.get(id) === print) return;
  drawn.set(id, print);
  const section = byId(id);
  const body = section.querySelector(".body") || section;
  const focused = body.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  const unfolded = new Set([...body.querySelectorAll("details[open]")].map((one) => one.dataset.key));
  const content = [build()].flat(2).filter(Boolean);
  body.replaceChildren(...content);
  for (const one of body.querySelectorAll("details")) if (unfolded.has(one.dataset.key)) one.open = true;
  if (focused) [...body.querySelectorAll("[data-key]")].find((one) => one.dataset.key === focused)?.focus();
  if (section !== body) section.hidden = content.length === 0;
}

function headline() {
  const at = (instant) => when(new Date(instant).toISOString(), CLOCK_SECONDS);
  let said = state.headline;
  if (!isLive) said = { level: "trouble", text: `The watchdog does not answer. All of this is from ${at(heardAt)}.` };
  else if (isLate() && said.level === "ok") said = { level: "trouble", text: `No gateway has answered since ${at(lastAnswer())}. All of this is from then.` };
  draw("headline", said, () => h("p", { class: `banner ${said.level}` }, said.text));
  document.title = `${said.level === "ok" ? "" : said.level === "notice" ? "• " : "▲ "}${visible(said.text)} OpenClaw watchdog`;
}

function show() {
  if (!state) return;
  headline();
  draw("holds", [state.pauses, state.quarantines, state.undelivered, state.ledger, state.list_problems, state.replicas, state.unwatched, state.mode, state.gateways.map((one) => [one.names, one.sessions.map((session) => session.key)])], holds);
  draw("gateways", [state.gateways.map(({ sessions, ...rest }) => rest), state.mode], () => state.gateways.map(gatewayCard));
  draw("sessions", [filter, state.quarantines, state.incidents.map((one) => [one.id, one.acknowledged]), state.gateways.map((one) => [one.name, one.phase, isOld(one) && one.seen_at, one.names, one.sessions, one.sessions_left_out, one.healthy, one.healthy_left_out])], sessions);
  drawnTimeline(false);
  const listed = state.gateways.map((one) => [one.names, one.sessions.map((session) => session.key)]);
  draw("incidents", [filter, state.incidents, showsAll, state.incidents_left_out, listed], incidentList);
  draw("deeds", [filter, state.deeds, listed], deedList);
  draw("operator", state.operator, switchList);
  draw("about", [state.version, state.pid, state.poll_every_seconds], about);
  tick();
}

function drawnTimeline(isForced) {
  const width = Math.max(220, byId("main").clientWidth - 34);
  const hour = Math.floor(now() / 600000);
  if (isForced) drawn.delete("timeline");
  const shown = state.incidents.filter(isWantedIncident);
  draw("timeline", [shown, width, hour, zoomed], () => [zoomButtons(), drawTimeline(shown, width), legend()]);
}

function zoomButtons() {
  const zoom = (day) => () => { zoomed = day; drawnTimeline(true); };
  const button = (day, text) => h("button", { type: "button", "data-key": `zoom ${text}`, "aria-pressed": String(zoomed === day), onclick: zoom(day) }, text);
  if (zoomed !== null && !days().some((day) => day.start === zoomed)) zoomed = null;
  return h("div", { class: "zoom", role: "group", "aria-label": "Days of the chart" }, button(null, "Week"), days().map((day) => button(day.start, dayLabel(day))));
}

// ---------------------------------------------------------------- who is who, and where else it is told of

function nameOf(gateway, key) {
  const names = state.gateways.find((one) => one.name === gateway)?.names || {};
  return Object.hasOwn(names, key) ? names[key] : null;
}
// A key, and what people call it: their own text, so it is set apart from what stands around it.
function named(gateway, key, href) {
  const name = nameOf(gateway, key);
  const link = href ? h("a", { href, "data-key": `to ${href}` }, shownKey(key)) : shownKey(key);
  return [h("span", { class: "sessionkey" }, link), name ? [" ", h("bdi", { class: "name" }, name)] : ""];
}
const cardId = (gateway, key) => escaped(`${gateway} ${key}`);
const to = (id) => `#${encodeURIComponent(id)}`;
function toCard(gateway, key) {
  const isListed = state.gateways.some((one) => one.name === gateway && one.sessions.some((session) => session.key === key));
  return isListed ? to(cardId(gateway, key)) : null;
}
const toIncident = (id) => (state.incidents.some((one) => one.id === id) ? h("a", { href: to(id), class: "id", "data-key": `to ${id}` }, id) : id);

const isWanted = (...words) => !filter || words.flat().filter(Boolean).join(" ").toLowerCase().includes(filter);
const isWantedIncident = (one) => isWanted(one.gateway, one.session, nameOf(one.gateway, one.session), OUTCOMES[one.outcome], one.id);

// Where a link leads is unfolded, and shown although the filter or the end of a list hides it.
function reveal() {
  let id = "";
  try { id = decodeURIComponent(location.hash.slice(1)); } catch { return; }
  if (!state || !id) return;
  if (!byId(id) && [...state.incidents.map((one) => one.id), ...state.gateways.flatMap((one) => one.sessions.map((session) => cardId(one.name, session.key)))].includes(id)) {
    filter = byId("filter").value = "";
    showsAll = true;
    show();
  }
  const target = byId(id);
  if (!target) return;
  for (let one = target; one; one = one.parentElement) if (one.tagName === "DETAILS") one.open = true;
  for (const one of document.querySelectorAll(".reached")) one.classList.remove("reached");
  target.classList.add("reached");
  const stop = target.querySelector(":scope > summary") || target;
  if (stop === target) stop.tabIndex = -1;
  stop.focus();
}

// ---------------------------------------------------------------- what holds

const some = (names) => names.slice(0, 8).join(", ") + (names.length > 8 ? ` and ${names.length - 8} more` : "");

function holds() {
  const found = [];
  const note = (level, title, text, ...more) => found.push(h("article", { class: `note ${level}` }, h("h3", {}, title), h("p", {}, text), more));
  if (state.mode === "observe") note("notice", "Observe mode", "Everything is judged and told; nothing is ever done.");
  for (const pause of state.pauses) {
    const known = pause.gateway || state.gateways.find((one) => pause.session && Object.hasOwn(one.names, pause.session))?.name;
    const scope = [pause.session ? named(known, pause.session) : pause.gateway ? "" : "Everything", pause.gateway && `${pause.session ? " on " : ""}gateway ${pause.gateway}`];
    const end = pause.until ? [" until ", instant(pause.until), " (", until(pause.until), ")"] : [" until somebody ends it"];
    const flags = [...(pause.gateway ? ["--gateway", pause.gateway] : []), ...(pause.session ? ["--session", escaped(pause.session)] : [])];
    note("notice", "Paused", [scope, " is paused", end, ", by ", pause.who, pause.reason ? `: ${pause.reason}` : "", ". Watching and telling go on."], command("unpause", ...flags));
  }
  const listed = new Set(state.gateways.flatMap((gateway) => gateway.sessions.map((one) => `${gateway.name} ${one.key}`)));
  for (const one of state.quarantines) {
    if (listed.has(`${one.gateway} ${one.session}`)) continue; // its own card says so
    note("trouble", "Quarantined", [named(one.gateway, one.session), ` on ${one.gateway}, `, since(one.since), " ago. ", one.reason], acknowledged(one), command("explain", escaped(one.session), "--gateway", one.gateway), command("release", escaped(one.session), "--gateway", one.gateway));
  }
  if (state.ledger.problem) note("trouble", "Ledger", [state.ledger.problem, " Nothing is done until it can be used."]);
  if (state.ledger.lost_history_at) note("trouble", "History lost", ["The ledger was lost ", instant(state.ledger.lost_history_at), ", and with it what was done before."], command("release", "--lost-history"));
  for (const one of state.replicas) note(one.is_here ? "notice" : "trouble", `Replica ${one.name}`, [`${one.is_this ? "This one. " : ""}${one.is_here ? "" : "Gone. "}${one.shards} shards${one.delivers ? ", delivers messages" : ""}${one.gateways.length ? `, watches ${some(one.gateways)}` : ""}.`]);
  if (state.unwatched.length) note("trouble", "Watched by no replica", [some(state.unwatched)]);
  for (const problem of state.list_problems) note("trouble", "List of gateways", [problem]);
  if (state.undelivered.length) {
    const line = (one) => h("li", {}, `“${one.kind.replaceAll("_", " ")}” to ${one.target}, `, instant(one.created_at), `, ${plural(one.tries, "try").replace("trys", "tries")}`,
      one.next_try_at ? [", next ", until(one.next_try_at)] : ", given up", one.error ? `: ${one.error}` : "");
    note("notice", "Messages not delivered", [plural(state.undelivered.length, "message"), " could not be delivered."], h("ul", {}, state.undelivered.slice(0, 3).map(line), state.undelivered.length > 3 ? h("li", {}, `and ${state.undelivered.length - 3} more`) : null), command("notify", "test"));
  }
  return found;
}

// ---------------------------------------------------------------- gateways

// It is away, and what is shown of its sessions is from before that: their ages stand still.
const isOld = (gateway) => gateway.phase !== "connected" && Boolean(gateway.seen_at);

function gatewayCard(gateway) {
  const isUp = gateway.phase === "connected";
  const level = isUp ? (gateway.problem ? "notice" : "ok") : gateway.phase === "unseen" ? "notice" : "trouble";
  const counts = Object.keys(VERDICTS).filter((verdict) => gateway.verdicts[verdict]);
  const fact = (name, ...value) => h("div", {}, h("dt", {}, name), h("dd", {}, value));
  return h("article", { class: `card ${level}` },
    h("header", {}, h("h3", {}, gateway.name), h("span", { class: `badge ${level}` }, PHASES[gateway.phase] || gateway.phase),
      gateway.mode === "observe" && h("span", { class: "badge notice" }, "observe mode"),
      gateway.is_fleet_breaker_open && h("span", { class: "badge trouble" }, "fleet breaker open")),
    gateway.problem && h("p", { class: "problem" }, gateway.problem),
    counts.length ? h("ul", { class: "counts", "aria-label": "Sessions by verdict" }, counts.map((verdict) => h("li", { class: `count ${verdict}` }, h("b", {}, String(gateway.verdicts[verdict])), ` ${VERDICTS[verdict]}`))) : h("p", { class: "muted" }, gateway.seen_at ? "No sessions." : "Not seen yet."),
    isOld(gateway) && h("p", { class: "muted" }, "As of ", instant(gateway.seen_at, CLOCK_SECONDS), ", when it last answered."),
    h("dl", {},
      fact("Version", gateway.version || "unknown"),
      gateway.connected_since && fact("Connected", since(gateway.connected_since)),
      gateway.last_poll_at && fact(gateway.seen_at === gateway.last_poll_at ? "Last poll" : "Last try", since(gateway.last_poll_at), " ago"),
      gateway.latency_seconds !== null && fact("Answered in", gateway.latency_seconds < 1 ? `${Math.round(gateway.latency_seconds * 1000)} ms` : `${gateway.latency_seconds.toFixed(1)} s`),
      gateway.budget && fact("Deeds left", `${gateway.budget.left} of ${gateway.budget.attempts} per ${span(gateway.budget.per_seconds * 1000)}`)),
    gateway.availability && available(gateway.availability),
    gateway.untried && h("p", { class: "muted" }, gateway.untried),
    !gateway.is_list_complete && h("p", { class: "problem" }, "The list of sessions could not be read to its end."),
    gateway.malformed_rows > 0 && h("p", { class: "problem" }, `${plural(gateway.malformed_rows, "row")} could not be read.`));
}

// The last week, hour by hour; hours alike are one piece.
function available({ watched_seconds: watched, answered_seconds: answered, hours, last_hour: last }) {
  if (!watched) return null;
  const kind = (hour) => (hour === null ? "unwatched" : hour > 0.999 ? "up" : hour > 0.5 ? "partly" : "away");
  const at = (index) => Date.parse(last) - (hours.length - 1 - index) * 3600000;
  const pieces = [];
  hours.forEach((hour, index) => {
    if (pieces.at(-1)?.kind === kind(hour)) pieces.at(-1).count += 1;
    else pieces.push({ kind: kind(hour), index, count: 1 });
  });
  const gone = pieces.filter((one) => one.kind === "away" || one.kind === "partly").map((one) => when(new Date(at(one.index)).toISOString()));
  const percent = answered >= watched ? "100" : (Math.floor((answered / watched) * 10000) / 100).toFixed(2);
  const text = `Answered ${percent} % of ${span(watched * 1000)} watched in 7 days`;
  return h("div", { class: "available" },
    s("svg", { viewBox: `0 0 ${hours.length} 1`, preserveAspectRatio: "none", role: "img", "aria-label": `${text}${gone.length ? `; away from ${gone.join(", ")}` : ""}.` },
      pieces.map((one) => s("rect", { x: one.index, y: 0, width: one.count, height: 1, class: one.kind }, s("title", {}, `${when(new Date(at(one.index)).toISOString())}: ${{ up: "answered", partly: "answered in part", away: "did not answer", unwatched: "not watched" }[one.kind]} for ${plural(one.count, "hour")}`)))),
    h("p", { class: "muted" }, `${text}.`));
}

// ---------------------------------------------------------------- sessions

const isQuiet = (session) => session.verdict === "waiting" && !session.is_quarantined && !session.is_in_recovery && !session.incident;

function sessions() {
  const wanted = state.gateways.flatMap((gateway) => gateway.sessions
    .filter((one) => isWanted(gateway.name, one.key, nameOf(gateway.name, one.key), standing(one)[1], one.kind, one.channel, one.agent, one.policy))
    .map((session) => ({ gateway, session })));
  const healthy = state.gateways.flatMap((gateway) => gateway.healthy.filter((one) => isWanted(gateway.name, one.key, nameOf(gateway.name, one.key), "healthy", one.kind))
    .map((session) => ({ gateway, session })));
  const found = [h("div", { class: "cards" }, wanted.filter(({ session }) => !isQuiet(session)).map(({ session, gateway }) => sessionCard(session, gateway)))];
  if (!found[0].childNodes.length) found.pop();
  found.push(fold("waiting", wanted.filter(({ session }) => isQuiet(session)), (one) => one.message, 0));
  found.push(fold("healthy", healthy, (one) => (one.updated_at ? ["moved ", since(one.updated_at), " ago"] : one.status), state.gateways.reduce((sum, one) => sum + one.healthy_left_out, 0)));
  const leftOut = state.gateways.reduce((sum, gateway) => sum + gateway.sessions_left_out, 0);
  if (filter && !found.some(Boolean)) found.push(h("p", { class: "muted panel" }, "None that the filter leaves."));
  if (leftOut) found.push(h("p", { class: "muted" }, `And ${leftOut} more; `, h("code", {}, typed("check").join(" ")), " lists them all."));
  return found;
}

// What needs nobody, folded away; a filter unfolds it.
function fold(verdict, found, told, leftOut) {
  if (!found.length && (filter || !leftOut)) return null;
  const row = ({ session, gateway }) => h("li", { id: cardId(gateway.name, session.key) }, h("span", {}, named(gateway.name, session.key)), h("span", { class: "muted" }, `on ${gateway.name} · ${session.kind}`), h("span", { class: "muted" }, told(session)));
  return h("details", { class: "list fold", "data-key": `fold ${verdict}`, open: Boolean(filter) },
    h("summary", { "data-key": `summary ${verdict}` }, h("span", { class: `badge ${verdict === "healthy" ? "ok" : verdict}` }, `${found.length + (filter ? 0 : leftOut)} ${VERDICTS[verdict]}`)),
    h("ul", { class: "deedlist" }, found.map(row)),
    leftOut > 0 ? h("p", { class: "muted" }, `${leftOut} more are not listed; `, h("code", {}, typed("check").join(" ")), " lists them all.") : null);
}

function standing(session) {
  const verdict = session.is_in_recovery ? "recovering" : session.is_quarantined ? "quarantined" : session.verdict;
  return [verdict, { recovering: "in recovery", quarantined: "quarantined" }[verdict] || VERDICTS[verdict]];
}

function sessionCard(session, gateway) {
  const [verdict, label] = standing(session);
  const about = [`on ${gateway.name}`, session.kind, session.channel, session.agent && `agent ${session.agent}`, `policy ${session.policy}`].filter(Boolean);
  const limit = session.limit_seconds ? `, ${LIMITS[session.since_what]} ${span(session.limit_seconds * 1000)}` : "";
  const left = session.budget.left;
  const asOf = isOld(gateway) ? Date.parse(gateway.seen_at) : null;
  const lasted = asOf === null ? since(session.since) : span(asOf - Date.parse(session.since));
  const share = asOf === null ? null : (asOf - Date.parse(session.since)) / 1000 / session.limit_seconds;
  const quarantine = state.quarantines.find((one) => one.gateway === gateway.name && one.session === session.key);
  const incident = session.incident || quarantine?.incident;
  return h("article", { class: `session ${verdict}`, id: cardId(gateway.name, session.key) },
    h("header", {}, h("span", { class: `badge ${verdict}` }, label), h("h3", {}, named(gateway.name, session.key))),
    h("p", { class: "muted about" }, about.join(" · "), incident ? [" · incident ", toIncident(incident)] : ""),
    asOf !== null && h("p", { class: "problem" }, "As of ", instant(gateway.seen_at, CLOCK_SECONDS), ", when its gateway last answered."),
    h("p", {}, session.message),
    quarantine && h("p", {}, h("b", {}, "In quarantine "), "for ", since(quarantine.since), ": ", quarantine.reason),
    acknowledged(quarantine || state.incidents.find((one) => one.id === session.incident)),
    h("div", { class: "age" },
      session.limit_seconds ? h("div", { class: "track", "aria-hidden": "true" }, h("div", share === null ? { class: "level", "data-since-bar": session.since, "data-limit": session.limit_seconds } : { class: "level", "data-share": share })) : null,
      h("p", {}, `${LASTED[session.since_what]} `, lasted, limit)),
    session.blockers.length ? h("div", { class: "held" }, h("h4", {}, "Held back by"), h("ul", {}, session.blockers.map((one) => h("li", {}, one.message, one.until ? [" (ends ", until(one.until), ")"] : "")))) : null,
    session.attempts.length ? h("ol", { class: "attempts" }, session.attempts.map(attemptLine)) : null,
    h("p", { class: "next" }, h("b", {}, "Next: "), session.next.words, session.next.at ? [session.is_in_recovery ? ", given up after " : ", ", session.is_in_recovery ? instant(session.next.at, CLOCK_SECONDS) : until(session.next.at)] : "", "."),
    left < session.budget.attempts ? h("p", { class: "muted" }, `${left} of ${plural(session.budget.attempts, "attempt")} left per ${span(session.budget.per_seconds * 1000)}.`) : null,
    command(...(session.is_quarantined ? ["release"] : ["explain"]), escaped(session.key), "--gateway", gateway.name));
}

function acknowledged(matter) {
  const known = matter && matter.acknowledged;
  return known ? h("p", { class: "muted" }, "Acknowledged by ", known.who, known.reason ? `: ${known.reason}` : "", ". ", known.until ? ["Reminders again ", until(known.until), "."] : "No reminders until it is over.") : null;
}

function attemptLine(attempt) {
  const at = attempt.started_at || attempt.planned_at;
  return h("li", { class: `attempt ${attempt.state}` }, h("b", {}, STEPS[attempt.step] || attempt.step), " ", h("span", { class: "ending" }, ENDINGS[attempt.state]),
    attempt.words ? `: ${attempt.words}` : "", " ", h("span", { class: "muted" }, instant(at, CLOCK_SECONDS)));
}

// ---------------------------------------------------------------- history

function incidentList() {
  if (!state.incidents.length) return [h("p", { class: "muted panel" }, "Nothing was stuck in the last 7 days.")];
  const wanted = state.incidents.filter(isWantedIncident);
  if (!wanted.length) return [h("p", { class: "muted panel" }, "None that the filter leaves.")];
  const shown = showsAll ? wanted : wanted.slice(0, 10);
  const hidden = wanted.length - shown.length;
  const more = hidden > 0 && h("button", { type: "button", class: "more", onclick: () => { showsAll = true; show(); } }, `Show ${hidden} more`);
  const leftOut = state.incidents_left_out > 0 && showsAll && h("p", { class: "muted" }, `${state.incidents_left_out} older ones: `, h("code", {}, typed("history").join(" ")));
  return [h("div", { class: "list" }, shown.map(incidentItem)), more, leftOut];
}

function incidentItem(incident) {
  const lasted = incident.closed_at ? span(Date.parse(incident.closed_at) - Date.parse(incident.opened_at)) : since(incident.opened_at);
  const card = toCard(incident.gateway, incident.session);
  return h("details", { "data-key": incident.id, id: incident.id },
    h("summary", { "data-key": `summary ${incident.id}` }, h("span", { class: `badge ${incident.outcome}` }, OUTCOMES[incident.outcome]),
      h("span", {}, named(incident.gateway, incident.session), h("span", { class: "muted" }, ` on ${incident.gateway}`)), h("span", { class: "muted times" }, instant(incident.opened_at), " · ", lasted)),
    h("div", { class: "inside" },
      h("p", { class: "muted" }, `${incident.id}: ${words(incident.verdict_reason)}.`, card ? [" ", h("a", { href: card, "data-key": `card ${incident.id}` }, "The session now")] : ""),
      incident.attempts.length ? h("ol", { class: "attempts" }, incident.attempts.map(attemptLine)) : h("p", {}, "Nothing was done to it.")));
}

function deedList() {
  if (!state.deeds.length) return [h("p", { class: "muted panel" }, "Nothing had to be done in the last 7 days.")];
  const wanted = state.deeds.filter((one) => isWanted(one.gateway, one.session, nameOf(one.gateway, one.session), STEPS[one.attempt.step], ENDINGS[one.attempt.state], one.incident));
  if (!wanted.length) return [h("p", { class: "muted panel" }, "None that the filter leaves.")];
  return [h("ol", { class: "list deedlist" }, wanted.map((deed) => h("li", { class: `attempt ${deed.attempt.state}` },
    h("span", { class: "muted times" }, instant(deed.attempt.started_at, CLOCK_SECONDS)),
    h("span", {}, h("b", {}, STEPS[deed.attempt.step] || deed.attempt.step), " ", h("span", { class: "ending" }, ENDINGS[deed.attempt.state]), deed.attempt.words ? `: ${deed.attempt.words}` : ""),
    h("span", {}, named(deed.gateway, deed.session, toCard(deed.gateway, deed.session)), h("span", { class: "muted" }, ` on ${deed.gateway} · `, toIncident(deed.incident))))))];
}

function switchList() {
  if (!state.operator.length) return [];
  return [h("ol", { class: "list deedlist" }, state.operator.map((one) => h("li", {},
    h("span", { class: "muted times" }, instant(one.at, CLOCK_SECONDS)),
    h("span", {}, h("b", {}, one.what.replaceAll("_", " ")), ` ${one.detail}`),
    h("span", { class: "muted" }, `by ${one.who}`))))];
}

function about() {
  const link = (path) => h("a", { href: path }, path);
  return [
    h("p", {}, `Version ${state.version}, process ${state.pid}, polls every ${span(state.poll_every_seconds * 1000)}, running for `, since(state.started_at), "."),
    h("p", {}, `Times are in ${ZONE}. The log, messages, status and top use UTC, history the time of the machine it is typed on. Read only. `, link("api/state"), " ", link("metrics"), " ", link("livez")),
  ];
}

// ---------------------------------------------------------------- every second

const lastAnswer = () => Date.parse(state.last_cycle_at || state.started_at);
const isLate = () => now() - lastAnswer() > 3000 * state.poll_every_seconds;

function tick() {
  if (isLive && now() - heardAt > SILENT_AFTER) isLive = false; // the connection stands, and nobody is behind it
  for (const one of document.querySelectorAll("[data-since]")) one.textContent = span(now() - Date.parse(one.dataset.since));
  for (const one of document.querySelectorAll("[data-until]")) one.textContent = countdown(one.dataset.until);
  for (const one of document.querySelectorAll("[data-since-bar]")) {
    const share = (now() - Date.parse(one.dataset.sinceBar)) / 1000 / Number(one.dataset.limit);
    one.style.width = `${Math.min(100, Math.max(1, share * 100)).toFixed(1)}%`;
  }
  for (const one of document.querySelectorAll("[data-share]")) one.style.width = `${Math.min(100, Math.max(1, one.dataset.share * 100)).toFixed(1)}%`;
  const live = byId("live");
  let text = "connecting…";
  let kind = "";
  if (state && !isLive) {
    kind = "trouble";
    text = `no connection, this is from ${when(new Date(heardAt).toISOString(), CLOCK_SECONDS)}`;
  } else if (isLive && state) {
    kind = isLate() ? "trouble" : "ok";
    text = isLate() ? `no gateway has answered for ${span(now() - lastAnswer())}` : "live";
  }
  if (live.dataset.text !== text) {
    live.dataset.text = text;
    live.className = `live ${kind}`;
    byId("live-text").textContent = text;
    document.body.classList.toggle("old", Boolean(state) && !isLive);
    if (state) headline();
  }
}

function listen() {
  const source = new EventSource("api/events");
  source.addEventListener("state", (event) => {
    state = JSON.parse(event.data);
    clockAhead = Date.parse(state.at) - Date.now();
    const isFirst = heardAt === null;
    heardAt = now();
    isLive = true;
    show();
    if (isFirst) reveal();
  });
  source.addEventListener("ping", () => {
    heardAt = now();
    isLive = Boolean(state);
  });
  source.addEventListener("error", () => {
    isLive = false;
    tick();
    if (source.readyState === EventSource.CLOSED) setTimeout(listen, 5000);
  });
}

byId("filter").addEventListener("input", (event) => {
  filter = event.target.value.trim().toLowerCase();
  if (state) show();
});
addEventListener("hashchange", reveal);
document.addEventListener("click", (event) => { if (event.target.closest?.("a[href^='#']")) setTimeout(reveal); });
new ResizeObserver(() => { if (state) drawnTimeline(false); }).observe(byId("main"));
setInterval(tick, 1000);
setInterval(() => { if (state) drawnTimeline(false); }, 60000);
listen();
