"""Every refusal with its exact line and column, and all of them at once."""

from __future__ import annotations

import re

import pytest

from watchdog.config import ConfigError, Problem, parse
from watchdog.config.models import Config
from watchdog.config.refusals import section_of

ENV = {"HOME": "/home/me", "EMPTY": "", "GATEWAY": "ws://127.0.0.1:18789", "BAD": "ws://127.0.0.1:1?token=hunter2"}


def refused(text: str) -> list[str]:
    """The problems of ``text``, without the file name."""
    with pytest.raises(ConfigError) as caught:
        parse(text, file="w.yaml", env=ENV)
    lines = str(caught.value).splitlines()
    assert all(line.startswith("w.yaml:") for line in lines)
    assert lines == [str(problem) for problem in caught.value.problems]
    return [line.removeprefix("w.yaml:") for line in lines]


SHORT = "short thresholds touch sessions that are only slow; for tests: allow_short_thresholds: true"
MAPPING = "expected a mapping ('key: value' lines)"
NO_MATCH = (
    "this policy has no match, so it would be for every session (for all: thresholds and recovery at the top; "
    "for some: match: {key, kind, agent, channel or gateway})"
)
ONE = "one section for each gateway: keep one"
CLEAR = (
    "ws:// to another machine sends the token in the clear "
    "(use wss://, or an ssh tunnel to 127.0.0.1, or say insecure: true)"
)

ONE_VALUE = {
    # keys
    "poll_evry: 30s": "1:1: unknown key 'poll_evry' (did you mean 'poll_every'?)",
    "poll-every: 30s": "1:1: unknown key 'poll-every' (did you mean 'poll_every'?)",
    "interval: 30s": "1:1: unknown key 'interval' (did you mean 'poll_every'?)",
    "gateway: {}": "1:1: unknown key 'gateway' (did you mean 'gateways'?)",
    "stuck_after: 20m": "1:1: unknown key 'stuck_after' (it belongs under 'thresholds')",
    "ladder: [new]": "1:1: unknown key 'ladder' (it belongs under 'recovery')",
    "token: hunter2": "1:1: unknown key 'token' (it belongs under 'gateways')",
    "url: hunter2": "1:1: unknown key 'url' (it belongs under 'gateways')",
    "stuck_aftr: 20m": "1:1: unknown key 'stuck_aftr' (did you mean 'stuck_after' under 'thresholds'?)",
    "thresholds:\n  poll_every: 30s": (
        "2:3: unknown key 'poll_every' in 'thresholds' (it belongs at the top of the file)"
    ),
    "thresholds: {stuck_aftr: 20m}": "1:14: unknown key 'stuck_aftr' in 'thresholds' (did you mean 'stuck_after'?)",
    "recovery:\n  attempts: 3": "2:3: unknown key 'attempts' in 'recovery' (it belongs under 'recovery.budget')",
    "recovery:\n  steps: [new]": "2:3: unknown key 'steps' in 'recovery' (did you mean 'ladder'?)",
    "recovery: {budget: {qqqqq: 3}}": ("1:21: unknown key 'qqqqq' in 'recovery.budget' (known here: attempts, per)"),
    "policies:\n  - match: {agnet: main}": ("2:13: unknown key 'agnet' in 'policies.match' (did you mean 'agent'?)"),
    "gateways:\n  - name: a\n    tokn: hunter2": "3:5: unknown key 'tokn' in 'gateways' (did you mean 'token'?)",
    "poll_every: 30s\npoll_every: 40s": "2:1: 'poll_every' is given twice, first on line 1 (keep one)",
    # spans
    "poll_every: 30": "1:13: poll_every: 30 is a number, not a duration (add a unit, e.g. 30s)",
    "poll_every: 0.5": "1:13: poll_every: 0.5 is a number, not a duration (add a unit, e.g. 30s)",
    "poll_every: 22:30": (
        "1:13: poll_every: '22:30' looks like a time of day, not a duration (write 22m30s or 22h30m)"
    ),
    "poll_every: 30x": "1:13: poll_every: 'x' in '30x' is not a unit of time (units: ms, s, m, h, d)",
    "poll_every:": "1:1: poll_every: expected a duration, found nothing (leave the line out for the default)",
    "poll_every: true": ("1:13: poll_every: expected a duration, found true or false (e.g. 30s, 20m, 72h or 1h30m)"),
    "poll_every: [30s]": "1:13: poll_every: expected a duration, found a list (e.g. 30s, 20m, 72h or 1h30m)",
    "poll_every: 0s": "1:13: poll_every: must be longer than 0s",
    "recovery: {verify_within: -5s}": (
        "1:27: verify_within: '-5s' is negative (a duration is a length of time, e.g. 30s)"
    ),
    "recovery:\n  backoff: [1m, 5]": "2:17: backoff: 5 is a number, not a duration (add a unit, e.g. 5s)",
    "recovery:\n  backoff: 1m": "2:12: backoff: expected a list, found text (put it in brackets: [ ])",
    "recovery:\n  backoff: []": "2:12: backoff: the list is empty (at least one wait, e.g. [5m])",
    # words
    "recovery: {mode: recovr}": "1:18: mode: 'recovr' is not a mode (did you mean 'recover'?)",
    "recovery: {mode: auto}": "1:18: mode: 'auto' is not a mode (one of: recover, observe)",
    "recovery: {mode: true}": "1:18: mode: expected a mode, found true or false (one of: recover, observe)",
    "recovery:\n  ladder: [resum]": "2:12: ladder: 'resum' is not a step of the ladder (did you mean 'resume'?)",
    "recovery:\n  ladder:\n    - resume\n    - restart": (
        "4:7: ladder: 'restart' is not a step of the ladder (a gateway that is down is restarted by gateway_restart)"
    ),
    "recovery:\n  ladder: resume": "2:11: ladder: expected a list, found text (put it in brackets: [ ])",
    "recovery:\n  ladder: []": "2:11: ladder: the list is empty (to only tell a person: [notify])",
    "recovery:\n  ladder: [notify, new]": (
        "2:20: 'new' stands after 'notify', where the ladder ends (put notify last)"
    ),
    "recovery:\n  ladder: [notify, notify]": (
        "2:20: 'notify' stands after 'notify', where the ladder ends (put notify last)"
    ),
    "policies:\n  - match: {kind: chron}": "2:19: kind: 'chron' is not a kind of session (did you mean 'cron'?)",
    "policies:\n  - match: {kind: [acp, Cron]}": ("2:25: kind: 'Cron' is not a kind of session (did you mean 'cron'?)"),
    "policies:\n  - match: {kind: dm}": (
        "2:19: kind: 'dm' is not a kind of session (one of: main, direct, group, cron, subagent, acp, hook, other)"
    ),
    "log: {format: xml}": "1:15: format: 'xml' is not a log format (one of: auto, json, console)",
    "log: {level: INFO}": "1:14: level: 'INFO' is not a log level (did you mean 'info'?)",
    "notify:\n  - {url: 'ntfy://hunter2', on: [stuk]}": (
        "2:34: on: 'stuk' is not an event to be told about (did you mean 'stuck'?)"
    ),
    "notify:\n  - {url: 'ntfy://hunter2', on: []}": "2:33: on: the list is empty (leave the line out instead)",
    # numbers, flags, text
    "recovery: {max_concurrent: two}": "1:28: max_concurrent: expected a whole number, found text (e.g. 3)",
    "recovery: {max_concurrent: 0}": "1:28: max_concurrent: must be at least 1, found 0",
    "recovery: {max_concurrent: 1.5}": "1:28: max_concurrent: expected a whole number, found a number (e.g. 3)",
    "recovery: {budget: {attempts: 0}}": "1:31: attempts: must be at least 1, found 0",
    "recovery: {budget: {per: 72}}": "1:26: per: 72 is a number, not a duration (add a unit, e.g. 72s)",
    "recovery: {fleet_breaker: {share: 50}}": (
        "1:35: share: a share is above 0 and at most 1, found 50.0 (0.5 is half of the running sessions)"
    ),
    "recovery: {fleet_breaker: {share: .nan}}": (
        "1:35: share: a share is above 0 and at most 1, found nan (0.5 is half of the running sessions)"
    ),
    "recovery: {fleet_breaker: {share: half}}": "1:35: share: expected a number, found text",
    "allow_short_thresholds: yes": (
        "1:25: allow_short_thresholds: expected true or false, found text (did you mean true?)"
    ),
    "allow_short_thresholds: 1": "1:25: allow_short_thresholds: expected true or false, found a number",
    "policies:\n  - match: {key: 5}": "2:18: key: expected text, found a number (put it in quotes)",
    "policies:\n  - match: {key: []}": "2:18: key: the list is empty (leave the line out instead)",
    "policies:\n  - match: {key: ''}": "2:18: key: the text is empty (leave the line out instead)",
    "gateways:\n  - name: my gateway": (
        "2:11: name: a name is up to 64 letters, digits, '.', '_' and '-' (it appears in logs and metrics)"
    ),
    "gateways:\n  - token: 12345": "2:12: token: expected text, found a number (put it in quotes)",
    "gateways:\n  - token: ''": "2:12: token: the text is empty (leave the line out instead)",
    "gateways:\n  - token: a${b": (
        "2:12: token: '${' does not begin a ${NAME} here (NAME is letters, digits and '_'; write $${ for a plain ${)"
    ),
    "gateways:\n  - token: ${A:-b}": (
        "2:12: token: '${' does not begin a ${NAME} here (NAME is letters, digits and '_'; write $${ for a plain ${)"
    ),
    "gateways:\n  - token: [hunter2]": "2:12: token: expected text, found a list",
    "state_dir: 5": "1:12: state_dir: expected a path, found a number",
    "state_dir: ${NOT_SET}/x": (
        "1:12: state_dir: the environment variable NOT_SET is not set (set it where the watchdog runs)"
    ),
    'state_dir: "a\\0b"': "1:12: state_dir: a path has no line breaks or control characters",
    "state_dir: ~nobody-of-this-name/x": (
        "1:12: state_dir: '~' has no meaning here: no home folder is known (write the whole path)"
    ),
    'gateways: [{token_file: "a\\nb"}]': "1:25: token_file: a path has no line breaks or control characters",
    # sections
    "- a": "1:1: a configuration is made of 'key: value' lines (e.g. poll_every: 30s)",
    "hello": "1:1: a configuration is made of 'key: value' lines (e.g. poll_every: 30s)",
    "log: json": f"1:6: log: {MAPPING}, found text (keys: format, level)",
    "thresholds: [20m]": (
        f"1:13: thresholds: {MAPPING}, found a list (keys: stuck_after, confirm_for, long_running_after, startup_grace)"
    ),
    "status_page: false": f"1:14: status_page: {MAPPING}, found true or false (null turns it off)",
    "gateways: {url: 'ws://127.0.0.1:1'}": (
        "1:11: gateways: expected a list, found a mapping (begin each entry with '- ')"
    ),
    "gateways:\n  - ws://127.0.0.1:1": f"2:5: gateways: {MAPPING}, found text (write '- url: ...')",
    "notify: hunter2": "1:9: notify: expected a list, found text (put it in brackets: [ ])",
    "notify:\n  - on: [stuck]": "2:5: 'url' is missing",
    "notify:\n  - hunter2": (
        "2:5: url: this is not an apprise URL (e.g. ntfy://ntfy.sh/my-topic; all services: appriseit.com)"
    ),
    "ledger: sqlite:///hunter2": "1:9: ledger: expected a URL that starts with postgresql:// (null: SQLite in state_dir)",
    "heartbeat_url: hunter2.com/x": "1:16: heartbeat_url: expected a URL that starts with https:// or http://",
    "status_page: {listen: 18795}": "1:23: listen: expected text, found a number (put it in quotes)",
    "status_page: {listen: localhost}": ("1:23: listen: expected host:port (e.g. 127.0.0.1:18795 or [::1]:18795)"),
    "status_page: {listen: 'a:99999'}": (
        "1:23: listen: port 99999 is out of range: 0 to 65535 (e.g. 127.0.0.1:18795 or [::1]:18795)"
    ),
    'gateway_restart: {command: ""}': "1:28: command: the text is empty (leave the line out instead)",
    "gateway_restart: {command: []}": "1:28: command: the list is empty (leave the line out instead)",
    "recovery: {budget: {attempts: 100000000000000000000}}": "1:31: attempts: must be at most 1000000000",
    f"recordings_mib: 1{'0' * 26}": "1:17: recordings_mib: must be at most 1000000000",
    "gateways:\n  - discover: everything": (
        "2:15: discover: 'everything' is not a place to discover gateways (one of: local, {file: …}, {http: …})"
    ),
    'gateway_restart: {command: "a \'b"}': (
        "1:28: command: the command has a quote that is never closed (or write it as a list)"
    ),
    # gateway urls
    "gateways:\n  - url: http://127.0.0.1:18789": (
        "2:10: url: the gateway speaks websocket: http:// is not ws:// (e.g. ws://127.0.0.1:18789)"
    ),
    "gateways:\n  - url: 127.0.0.1:18789": (
        "2:10: url: expected a URL that starts with ws:// or wss:// (e.g. ws://127.0.0.1:18789)"
    ),
    "gateways:\n  - url: ws://[::1:18789": "2:10: url: this is not a URL (e.g. ws://127.0.0.1:18789)",
    "gateways:\n  - url: ws://127.0.0.1:99999": (
        "2:10: url: port 99999 is out of range: 1 to 65535 (e.g. ws://127.0.0.1:18789)"
    ),
    "gateways:\n  - url: ws://127.0.0.1:0": (
        "2:10: url: port 0 is out of range: 1 to 65535 (e.g. ws://127.0.0.1:18789)"
    ),
    "gateways:\n  - url: ws://127.0.0.1:port": "2:10: url: this is not a URL (e.g. ws://127.0.0.1:18789)",
    "gateways:\n  - url: ws://me:hunter2@127.0.0.1": (
        "2:10: url: a URL must not carry a user name or password (use token, or password, of this gateway)"
    ),
    "gateways:\n  - url: ws://127.0.0.1?token=hunter2": (
        "2:10: url: a URL must not carry anything after '?' or '#' (a token belongs under token)"
    ),
    "gateways:\n  - url: ${BAD}": (
        "2:10: url: a URL must not carry anything after '?' or '#' (a token belongs under token)"
    ),
    "gateways:\n  - url: ${EMPTY}": (
        "2:10: url: the environment variable EMPTY is empty (set it where the watchdog runs)"
    ),
}

AGREEMENT = {
    "thresholds:\n  stuck_after: 119s\npoll_every: 10s": (
        f"2:16: stuck_after (119s) is below its floor of 2m ({SHORT})"
    ),
    "thresholds: {confirm_for: 4s}": f"1:27: confirm_for (4s) is below its floor of 5s ({SHORT})",
    "thresholds: {startup_grace: 0s}": f"1:29: startup_grace (0s) is below its floor of 30s ({SHORT})",
    "policies:\n  - match: {kind: main}\n    thresholds: {startup_grace: 29s}": (
        f"3:33: startup_grace (29s) is below its floor of 30s ({SHORT})"
    ),
    "poll_every: 1m\nthresholds:\n  stuck_after: 2m": (
        "3:16: stuck_after (2m) is less than 3 x poll_every (1m) (at least 3m, or poll more often)"
    ),
    "poll_every: 10m": "1:13: stuck_after (20m) is less than 3 x poll_every (10m) (at least 30m, or poll more often)",
    "poll_every: 1s\nallow_short_thresholds: true\nthresholds: {stuck_after: 2s}": (
        "3:27: stuck_after (2s) is less than 3 x poll_every (1s) (at least 3s, or poll more often)"
    ),
    "poll_every: 1m\npolicies:\n  - match: {kind: main}\n    thresholds: {stuck_after: 2m}": (
        "4:31: stuck_after (2m) is less than 3 x poll_every (1m) (at least 3m, or poll more often)"
    ),
    "poll_every: 1ms": (
        "1:13: poll_every (1ms) is below its floor of 1s (to ask more often keeps a gateway from its work; for tests: "
        "allow_short_thresholds: true)"
    ),
    "notify: [{url: 'ntfy://x', remind_every: 1s}]": (
        "1:42: remind_every (1s) is below its floor of 10m (each time all that is open is said again; for tests: "
        "allow_short_thresholds: true)"
    ),
    "texts: {ask: 'again: {request}'}": "1:14: ask: '{request}' is not filled in here (filled in: {interrupted_at})",
    "policies: [{match: {kind: main}, texts: {resume: 'Go on {requst} {requst} {request}'}}]": (
        "1:50: resume: '{requst}' is not filled in here (filled in: {request}, {interrupted_at})"
    ),
    "texts: {fresh_session: '{request}'}": (
        "1:24: fresh_session: nothing is left of this text where no request is quoted (add a few words of your own)"
    ),
    "full_sweep_every: 10s": "1:19: full_sweep_every (10s) is shorter than poll_every (at least 30s)",
    "ledger_retention: 24h": (
        "1:19: ledger_retention (24h) would forget attempts that a budget still counts (at least 72h)"
    ),
    "policies:\n  - match: {kind: main}\n    recovery: {budget: {per: 100d}}": (
        "3:30: ledger_retention (90d) would forget attempts that a budget still counts (at least 100d)"
    ),
    "notify:\n  - {name: a, url: 'ntfy://x'}\n  - {name: a, url: 'ntfy://y'}": (
        "3:12: two targets are called 'a' (give each a name of its own)"
    ),
    "gateways: []": "1:11: gateways: the list is empty (leave it out to discover the local gateway)",
    "gateways:\n  - name: a\n  - {name: b, url: 'ws://127.0.0.1:1'}\n  - {name: a, url: 'ws://127.0.0.1:2'}": (
        "4:12: two gateways are called 'a' (give each a name of its own)"
    ),
    "gateways:\n  - name: a\n  - name: b": (
        f"3:5: no url: this is the gateway that the environment means, and so is 'a' at w.yaml:2 ({ONE})"
    ),
    "gateways:\n  - {name: a, url: 'ws://localhost:18789'}\n  - {name: b, url: 'ws://127.0.0.1:18789'}": (
        f"3:20: this url reaches the same gateway as 'a' at w.yaml:2 ({ONE})"
    ),
    "gateways:\n  - {}\n  - discover: local": ("3:5: two gateways are called 'local' (give each a name of its own)"),
    "gateways:\n  - discover: local\n  - {name: b, discover: local}": (
        "3:15: discover: local is given twice, and once stands for every gateway of this machine (keep one)"
    ),
    "gateways:\n  - discover: {}": "2:15: a list is either a file or an http address (give one of them)",
    "gateways:\n  - discover: {file: a, http: 'http://a'}": (
        "2:15: a list is either a file or an http address (give one of them)"
    ),
    "gateways:\n  - discover: {file: '/etc/*/a.json'}": (
        "2:22: file: only the last part of the path may hold * and ? (e.g. /etc/openclaw-watchdog/gateways.d/*.json)"
    ),
    "gateways:\n  - discover: {file: a, token_dir: b}": (
        "2:25: token_dir has no effect on a file, which names a token_file for each gateway (leave it out)"
    ),
    "gateways:\n  - {discover: {file: a}, name: b}": (
        "2:27: name is one gateway's, and a list stands for many (leave it out; a list gives each its own name)"
    ),
    "gateways:\n  - {discover: {file: a}, state_dir: none}": (
        "2:27: state_dir is one gateway's, and a list stands for many (leave it out; a list gives each its own name)"
    ),
    **{
        f"gateways:\n  - {{discover: {{http: 'https://a'}}, {secret}: hunter2}}": (
            f"2:37: {secret} would be sent to whatever host that list names (token_dir has one token for each address)"
        )
        for secret in ("token", "token_file", "password", "password_file")
    },
    "gateways: [{discover: {file: a}}, {discover: {file: a}}]": "1:36: this list is given twice (keep one)",
    "gateways: [{discover: {file: a}}]\ngateway_restart: {command: a}": (
        "2:1: gateway_restart is for a gateway with a section of its own, and there is none (leave it out)"
    ),
    "gateways: [{discover: {file: a, evry: 5s}}]": (
        "1:33: unknown key 'evry' in 'gateways.discover' (did you mean 'every'?)"
    ),
    "gateways:\n  - url: ws://127.0.0.1:1\n    discover: local": "3:5: url and discover are both given (keep one)",
    "gateways:\n  - token: hunter2\n    token_file: t": "3:5: token and token_file are both given (keep one)",
    "gateways:\n  - password_file: t\n    password: hunter2": (
        "2:5: password and password_file are both given (keep one)"
    ),
    "gateways:\n  - password: hunter2\n    token: hunter2": "2:5: a token and a password are both given (keep one)",
    "gateways:\n  - url: ws://gw.example.org:18789": f"2:10: {CLEAR}",
    "gateways:\n  - url: ws://192.168.1.5:18789": f"2:10: {CLEAR}",
    "gateways:\n  - url: ws://127.0.0.1.evil.org:18789": f"2:10: {CLEAR}",
    "gateways:\n  - url: wss://gw.example.org\n    insecure: true": (
        "3:15: insecure has no effect on wss://: certificates are always checked (leave it out)"
    ),
    "gateways:\n  - url: wss://gw.example.org\n    tls: {}": "3:10: tls names nothing to check by (give ca_file or fingerprint)",
    "gateways:\n  - url: ws://127.0.0.1:18789\n    tls: {ca_file: /c.pem}": (
        "3:10: tls has no effect on ws://: nothing is encrypted (leave it out, or use wss://)"
    ),
    "gateways:\n  - url: wss://gw.example.org\n    tls: {fingerprint: 4f0a}": (
        "3:24: fingerprint: expected the SHA-256 fingerprint of a certificate, 64 hex digits (openssl x509 -noout -fingerprint -sha256 "
        "-in CERTIFICATE shows it)"
    ),
    "status_page: {hosts: ['https://w.example.org']}": (
        "1:23: hosts: expected the name of a host, and nothing else (e.g. watchdog.example.org: no port, no https://, no *)"
    ),
    "policies:\n  - name: default\n    match: {kind: main}": (
        "2:11: 'default' is what thresholds and recovery at the top are called (choose another name)"
    ),
    "policies:\n  - name: a\n    match: {kind: main}\n  - name: a\n    match: {kind: acp}": (
        "4:11: two policies are called 'a' (give each a name of its own)"
    ),
    "policies:\n  - name: a\n    thresholds: {stuck_after: 5m}": f"2:5: {NO_MATCH}",
    "policies:\n  - name: a\n    match: {}": f"3:12: {NO_MATCH}",
    "policies:\n  - name: a\n    match:\n      #kind: cron": f"3:5: {NO_MATCH}",
    "policies:\n  - match: {kind: main}\n    recovery: {ladder: []}": (
        "3:24: ladder: the list is empty (to only tell a person: [notify])"
    ),
    "gateway_restart: {after_failures: 3}": (
        "1:1: gateway_restart does not say how (one of: command, systemd_unit, launchd_label)"
    ),
    "gateway_restart:\n  command: a\n  launchd_label: b": "3:3: command and launchd_label are both given (keep one)",
    "gateway_restart:\n  command: a\n  gateway: hoem\ngateways: [{name: home}]": (
        "3:12: gateway_restart: no gateway is called 'hoem' (did you mean 'home'?)"
    ),
    "gateway_restart:\n  command: a\ngateways: [{name: a}, {name: b, discover: local}]": (
        "1:1: gateway_restart does not say which gateway it is for (gateway: one of a, b)"
    ),
    "gateway_restart:\n  command: a\n  min_down: 1m": (
        "3:13: min_down (1m) is below its floor of 2m (a gateway that is only starting must not be restarted)"
    ),
}


@pytest.mark.parametrize(("text", "expected"), [*ONE_VALUE.items(), *AGREEMENT.items()])
def test_refused_at_its_place(text: str, expected: str) -> None:
    assert refused(text + "\n") == [expected]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ws://localhost:18789", "ws://[::1]:18789"),
        ("ws://127.0.0.1:18789", "ws://localhost.:18789/"),
        ("ws://127.0.0.1:18789", "wss://localhost:18789"),
        ("ws://127.0.0.1", "ws://localhost:80"),
        ("wss://GW.example.org", "wss://gw.example.org:443/"),
        ("wss://gw.example.org/a/", "wss://gw.example.org/a"),
    ],
)
def test_two_urls_of_one_gateway(one: str, other: str) -> None:
    text = f"gateways:\n  - url: {one}\n    name: a\n  - url: '{other}'\n    name: b\n"
    assert refused(text) == [f"4:10: this url reaches the same gateway as 'a' at w.yaml:2 ({ONE})"]


@pytest.mark.parametrize(
    "text",
    [
        "gateways: [{url: 'ws://localhost:18789'}, {url: 'ws://[::1]:18790', name: b}, {url: 'ws://127.8.9.1:1', name: c}]",
        "gateways: [{url: 'ws://127.0.0.1:1'}, {url: 'ws://127.0.0.2:1', name: b}, {name: c}, {name: d, discover: local}]",
        "gateways: [{url: 'wss://proxy.example/alice'}, {url: 'wss://proxy.example/bob', name: b}]",
        "gateways: [{url: 'ws://10.0.0.5:18789', insecure: true}, {url: 'wss://gw.ts.net/path'}]",
        "gateways: [{url: 'wss://gw.ts.net', tls: {ca_file: ~/ca.pem}}]",
        f"gateways: [{{url: 'wss://gw.ts.net', tls: {{fingerprint: 'SHA256:{':'.join(['4F'] * 32)}'}}}}]",
        "status_page: {hosts: [watchdog, watchdog.example.org]}",
        "gateways: [{url: '${GATEWAY}', token: '${NOT_SET_HERE}', state_dir: none}]",
        "gateways: [{discover: local, name: home, token_file: ~/token}]",
        "gateways: [{name: a}, {discover: {file: /a/*.json}, token: '${T}'}, {discover: {http: 'https://a', every: 60s}}]",
        "gateways: [{name: local, url: 'ws://127.0.0.1:1'}, {discover: {file: /a/*.json}}]\ngateway_restart: {gateway: local, command: a}",
        "gateways:\npoll_every: 30s\nthresholds:\nrecovery:\npolicies:\nnotify:\nstatus_page:\nlog:\n",
        "allow_short_thresholds: true\npoll_every: 100ms\nthresholds: {stuck_after: 300ms, confirm_for: 0s, startup_grace: 0s}",
        "allow_short_thresholds: true\nnotify: [{url: 'ntfy://a', remind_every: 1s}]",
        "poll_every: 1s\nnotify: [{url: 'ntfy://a', remind_every: 10m}]",
        "texts: {ask: 'Cut {interrupted_at} {}', resume: '{request} {interrupted_at}', fresh_session: 'Afresh: {request}'}",
        "policies: [{match: {key: 'agent:main:*', kind: [main, direct], archived: false}}]",
        "notify: [ntfy://a/b, '${URL}', {url: 'mailto://x', on: stuck}]",
        "gateway_restart: {systemd_unit: openclaw.service, user: false}",
        "gateway_restart: {command: [openclaw, gateway, restart]}",
        "recovery: {ladder: [resume, resume, notify], fleet_breaker: {share: 1}}",
        "status_page: null\nheartbeat_url: null\ngateway_restart: null\n",
        "%YAML 1.1\n---\nlog: {level: info}\n",
    ],
)
def test_accepted(text: str) -> None:
    parse(text, env=ENV)


@pytest.mark.parametrize("name", ["../home", "..", ".", "a/b", "/a", "a\\\\b", "a\\0b", "a\\nb", "home\\n", "-a", ""])
def test_a_gateway_s_name_is_a_file_s_name_in_any_folder(name: str) -> None:
    (problem,) = refused(f'gateways: [{{name: "{name}"}}]\n')
    assert problem.startswith("1:19: name: a name is up to 64 letters, digits, '.', '_' and '-'")


@pytest.mark.parametrize(
    "url",
    [
        "wss://..:1",
        "wss://a%2f..%2fb",
        "wss://%00",
        "wss://.hidden",
        "wss://a..b/../c",
        f"wss://{'a' * 80}",
        "wss://[fe80::1]:1",
    ],
)
def test_so_is_the_name_that_follows_from_a_url(url: str) -> None:
    (gateway,) = parse(f"gateways: [{{url: '{url}'}}]\n", env=ENV).config.gateways
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", gateway.name)


def test_all_problems_at_once_in_the_order_of_the_file() -> None:
    text = """\
gateways:
  - url: http://127.0.0.1:18789
    tokn: x
  - {discover: lokal, name: b}
poll_evry: 30s
thresholds:
  stuck_after: 1m
  confirm_for: 22:30
recovery:
  ladder: [notify, new]
  budget: {attempts: 0, per: 72}
policies:
  - name: default
    match: {kind: chron}
poll_evry: 40s
"""
    assert [line.split(": ", 1)[0] for line in refused(text)] == [
        "2:10", "3:5", "4:16", "5:1", "7:16", "7:16", "8:16", "10:20", "11:22", "11:30", "13:11", "14:19", "15:1",
    ]  # fmt: skip


def test_nothing_follows_from_a_setting_that_was_refused_itself() -> None:
    assert len(refused("poll_every: 30x\nthresholds: {stuck_after: 1h}\nfull_sweep_every: 1s\n")) == 1
    assert len(refused("gateways:\n  - url: http://a\n  - url: http://b\n")) == 2
    assert len(refused("policies:\n  - match: {kind: chron}\n")) == 1


def every_key() -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []

    def visit(model: type[Config], path: tuple[str, ...]) -> None:
        for name, field in model.model_fields.items():
            found.append((*path, name))
            if inner := section_of(field.annotation):
                visit(inner, (*path, name))  # type: ignore[arg-type]

    visit(Config, ())
    return found


ODD = ["~", "5", "-1", "0.5", "true", "x", "''", "[]", "{}", "[~]", "[5]", "[[]]", "[{}]", "{x: y}", "'${'", "'${NO}'"]


@pytest.mark.parametrize("value", ODD)
def test_any_value_anywhere_loads_or_is_refused_in_our_words(value: str) -> None:
    for path in every_key():
        _require_our_words(path, value)


def _require_our_words(path: tuple[str, ...], value: str) -> None:
    for name in reversed(path[1:]):
        value = f"{{{name}: {value}}}"
    value = f"[{value}]" if path[0] in ("gateways", "policies", "notify") and len(path) > 1 else value
    problems: tuple[Problem, ...] = ()
    try:
        parse(f"{path[0]}: {value}\n", file="w.yaml", env=ENV)
    except ConfigError as error:
        problems = error.problems
    for problem in problems:
        assert problem.line == 1, path
        assert problem.column, path
        for jargon in ("Input", "valid ", "pydantic", "tuple", "dict", "string", "NoneType", "does not fit"):
            assert jargon not in str(problem), path
