// The page: one section per kind of fact, each drawn anew only when its own facts change.

const byId = (id) => document.getElementById(id);
const drawn = new Map();
let state = null;
let isLive = false;
let heardAt = null;
let showsAll = false;

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
  const since = () => when(new Date(heardAt).toISOString(), CLOCK_SECONDS);
  const said = isLive ? state.headline : { level: "trouble", text: `The watchdog does not answer. All of this is from ${since()}.` };
  draw("headline", said, () => h("p", { class: `banner ${said.level}` }, said.text));
  document.title = `${said.level === "ok" ? "" : said.level === "notice" ? "• " : "▲ "}${visible(said.text)} OpenClaw watchdog`;
}

function show() {
  if (!state) return;
  headline();
  draw("holds", [state.pauses, state.quarantines, state.undelivered, state.ledger, state.list_problems, state.mode, state.gateways.map((one) => one.sessions.map((session) => session.key))], holds);
  draw("gateways", [state.gateways.map(({ sessions, ...rest }) => rest), state.mode], () => state.gateways.map(gatewayCard));
  draw("sessions", [state.quarantines, state.gateways.map((one) => [one.name, one.phase, isOld(one) && one.seen_at, one.sessions, one.sessions_left_out])], sessions);
  drawnTimeline(false);
  draw("incidents", [state.incidents, showsAll, state.incidents_left_out], incidentList);
  draw("deeds", state.deeds, deedList);
  draw("operator", state.operator, switchList);
  draw("about", [state.version, state.pid, state.poll_every_seconds], about);
  tick();
}

function drawnTimeline(isForced) {
  const width = byId("main").clientWidth - 34;
  const hour = Math.floor(now() / 600000);
  if (isForced) drawn.delete("timeline");
  draw("timeline", [state.incidents, width, hour], () => [drawTimeline(state.incidents, width), legend()]);
}

// ---------------------------------------------------------------- what holds

function holds() {
  const found = [];
  const note = (level, title, text, ...more) => found.push(h("article", { class: `note ${level}` }, h("h3", {}, title), h("p", {}, text), more));
  if (state.mode === "observe") note("notice", "Observe mode", "Everything is judged and told; nothing is ever done.");
  for (const pause of state.pauses) {
    const scope = [(pause.session && shownKey(pause.session)) || (pause.gateway ? null : "Everything"), pause.gateway && `gateway ${pause.gateway}`].filter(Boolean).join(" on ");
    const end = pause.until ? [" until ", instant(pause.until), " (", until(pause.until), ")"] : [" until somebody ends it"];
    const flags = [...(pause.gateway ? ["--gateway", pause.gateway] : []), ...(pause.session ? ["--session", escaped(pause.session)] : [])];
    note("notice", "Paused", [scope, " is paused", end, ", by ", pause.who, pause.reason ? `: ${pause.reason}` : "", ". Watching and telling go on."], command("unpause", ...flags));
  }
  const listed = new Set(state.gateways.flatMap((gateway) => gateway.sessions.map((one) => `${gateway.name} ${one.key}`)));
  for (const one of state.quarantines) {
    if (listed.has(`${one.gateway} ${one.session}`)) continue; // its own card says so
    note("trouble", "Quarantined", [h("span", { class: "sessionkey" }, shownKey(one.session)), ` on ${one.gateway}, `, since(one.since), " ago. ", one.reason], command("explain", escaped(one.session), "--gateway", one.gateway), command("release", escaped(one.session), "--gateway", one.gateway));
  }
  if (state.ledger.problem) note("trouble", "Ledger", [state.ledger.problem, " Nothing is done until it can be used."]);
  if (state.ledger.lost_history_at) note("trouble", "History lost", ["The ledger was lost ", instant(state.ledger.lost_history_at), ", and with it what was done before."], command("release", "--lost-history"));
  for (const problem of state.list_problems) note("trouble", "List of gateways", [problem]);
  if (state.undelivered.length) {
    const line = (one) => h("li", {}, `${one.kind.replaceAll("_", " ")} to ${one.target}, `, instant(one.created_at), `, ${plural(one.tries, "try").replace("trys", "tries")}`,
      one.next_try_at ? [", next ", until(one.next_try_at)] : ", given up", one.error ? `: ${one.error}` : "");
    note("notice", "Messages not delivered", [plural(state.undelivered.length, "message"), " could not be delivered."], h("ul", {}, state.undelivered.slice(0, 10).map(line)));
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
      gateway.last_poll_at && fact("Last poll", since(gateway.last_poll_at), " ago"),
      gateway.latency_seconds !== null && fact("Answered in", gateway.latency_seconds < 1 ? `${Math.round(gateway.latency_seconds * 1000)} ms` : `${gateway.latency_seconds.toFixed(1)} s`),
      gateway.budget && fact("Deeds left", `${gateway.budget.left} of ${gateway.budget.attempts} per ${span(gateway.budget.per_seconds * 1000)}`)),
    gateway.untried && h("p", { class: "muted" }, gateway.untried),
    !gateway.is_list_complete && h("p", { class: "problem" }, "The list of sessions could not be read to its end."),
    gateway.malformed_rows > 0 && h("p", { class: "problem" }, `${plural(gateway.malformed_rows, "row")} could not be read.`));
}

// ---------------------------------------------------------------- sessions

function sessions() {
  const found = state.gateways.flatMap((gateway) => gateway.sessions.map((session) => sessionCard(session, gateway)));
  const leftOut = state.gateways.reduce((sum, gateway) => sum + gateway.sessions_left_out, 0);
  if (leftOut) found.push(h("p", { class: "muted" }, `And ${leftOut} more; `, h("code", {}, "openclaw-watchdog check"), " lists them all."));
  return found;
}

function sessionCard(session, gateway) {
  const verdict = session.is_in_recovery ? "recovering" : session.is_quarantined ? "quarantined" : session.verdict;
  const label = { recovering: "in recovery", quarantined: "quarantined" }[verdict] || VERDICTS[verdict];
  const about = [state.gateways.length > 1 ? gateway.name : null, session.kind, session.channel, session.agent && `agent ${session.agent}`, `policy ${session.policy}`].filter(Boolean);
  const limit = session.limit_seconds ? `, ${LIMITS[session.since_what]} ${span(session.limit_seconds * 1000)}` : "";
  const left = session.budget.left;
  const asOf = isOld(gateway) ? Date.parse(gateway.seen_at) : null;
  const lasted = asOf === null ? since(session.since) : span(asOf - Date.parse(session.since));
  const share = asOf === null ? null : (asOf - Date.parse(session.since)) / 1000 / session.limit_seconds;
  const quarantine = state.quarantines.find((one) => one.gateway === gateway.name && one.session === session.key);
  return h("article", { class: `session ${verdict}` },
    h("header", {}, h("span", { class: `badge ${verdict}` }, label), h("h3", { class: "sessionkey" }, shownKey(session.key))),
    h("p", { class: "muted about" }, about.join(" · ")),
    asOf !== null && h("p", { class: "problem" }, "As of ", instant(gateway.seen_at, CLOCK_SECONDS), ", when its gateway last answered."),
    h("p", {}, session.message),
    quarantine && h("p", {}, h("b", {}, "In quarantine "), "for ", since(quarantine.since), ": ", quarantine.reason),
    h("div", { class: "age" },
      session.limit_seconds ? h("div", { class: "track", "aria-hidden": "true" }, h("div", share === null ? { class: "level", "data-since-bar": session.since, "data-limit": session.limit_seconds } : { class: "level", "data-share": share })) : null,
      h("p", {}, `${LASTED[session.since_what]} `, lasted, limit)),
    session.blockers.length ? h("div", { class: "held" }, h("h4", {}, "Held back by"), h("ul", {}, session.blockers.map((one) => h("li", {}, one.message, one.until ? [" (ends ", until(one.until), ")"] : "")))) : null,
    session.attempts.length ? h("ol", { class: "attempts" }, session.attempts.map(attemptLine)) : null,
    h("p", { class: "next" }, h("b", {}, "Next: "), session.next.words, session.next.at ? [session.is_in_recovery ? ", given up after " : ", ", session.is_in_recovery ? instant(session.next.at, CLOCK_SECONDS) : until(session.next.at)] : "", "."),
    left < session.budget.attempts ? h("p", { class: "muted" }, `${left} of ${plural(session.budget.attempts, "attempt")} left per ${span(session.budget.per_seconds * 1000)}.`) : null,
    command(...(session.is_quarantined ? ["release"] : ["explain"]), escaped(session.key), "--gateway", gateway.name));
}

function attemptLine(attempt) {
  const at = attempt.started_at || attempt.planned_at;
  return h("li", { class: `attempt ${attempt.state}` }, h("b", {}, STEPS[attempt.step] || attempt.step), " ", h("span", { class: "ending" }, ENDINGS[attempt.state]),
    attempt.words ? `: ${attempt.words}` : "", " ", h("span", { class: "muted" }, instant(at, CLOCK_SECONDS)));
}

// ---------------------------------------------------------------- history

function incidentList() {
  if (!state.incidents.length) return [h("p", { class: "muted panel" }, "Nothing was stuck in the last 7 days.")];
  const shown = showsAll ? state.incidents : state.incidents.slice(0, 10);
  const hidden = state.incidents.length - shown.length;
  const more = hidden > 0 && h("button", { type: "button", class: "more", onclick: () => { showsAll = true; show(); } }, `Show ${hidden} more`);
  const leftOut = state.incidents_left_out > 0 && showsAll && h("p", { class: "muted" }, `${state.incidents_left_out} older ones: `, h("code", {}, "openclaw-watchdog history"));
  return [h("div", { class: "list" }, shown.map(incidentItem)), more, leftOut];
}

function incidentItem(incident) {
  const lasted = incident.closed_at ? span(Date.parse(incident.closed_at) - Date.parse(incident.opened_at)) : since(incident.opened_at);
  return h("details", { "data-key": incident.id, id: incident.id },
    h("summary", { "data-key": `summary ${incident.id}` }, h("span", { class: `badge ${incident.outcome}` }, OUTCOMES[incident.outcome]),
      h("span", { class: "sessionkey" }, shownKey(incident.session)), h("span", { class: "muted times" }, instant(incident.opened_at), " · ", lasted)),
    h("div", { class: "inside" },
      h("p", { class: "muted" }, `${incident.id} on ${incident.gateway}: ${words(incident.verdict_reason)}.`),
      incident.attempts.length ? h("ol", { class: "attempts" }, incident.attempts.map(attemptLine)) : h("p", {}, "Nothing was done to it.")));
}

function deedList() {
  if (!state.deeds.length) return [h("p", { class: "muted panel" }, "Nothing had to be done in the last 7 days.")];
  return [h("ol", { class: "list deedlist" }, state.deeds.map((deed) => h("li", { class: `attempt ${deed.attempt.state}` },
    h("span", { class: "muted times" }, instant(deed.attempt.started_at, CLOCK_SECONDS)),
    h("span", {}, h("b", {}, STEPS[deed.attempt.step] || deed.attempt.step), " ", h("span", { class: "ending" }, ENDINGS[deed.attempt.state]), deed.attempt.words ? `: ${deed.attempt.words}` : ""),
    h("span", { class: "sessionkey" }, shownKey(deed.session)))))];
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
    h("p", {}, `Times are in ${ZONE}; logs and commands use UTC. Read only. `, link("api/state"), " ", link("metrics"), " ", link("livez")),
  ];
}

// ---------------------------------------------------------------- every second

function tick() {
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
    const last = Date.parse(state.last_cycle_at || state.started_at);
    const isLate = now() - last > 3000 * state.poll_every_seconds;
    kind = isLate ? "trouble" : "ok";
    text = isLate ? `no gateway has answered for ${span(now() - last)}` : "live";
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
    heardAt = now();
    isLive = true;
    show();
  });
  source.addEventListener("error", () => {
    isLive = false;
    tick();
    if (source.readyState === EventSource.CLOSED) setTimeout(listen, 5000);
  });
}

new ResizeObserver(() => { if (state) drawnTimeline(false); }).observe(byId("main"));
setInterval(tick, 1000);
setInterval(() => { if (state) drawnTimeline(false); }, 60000);
listen();
