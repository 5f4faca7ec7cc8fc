// Draws the events of GET /v1/live: totals since the start of the service, about one a second while they change.
// The number of calls within a period is the difference of two totals.

const MINUTE = 60_000;
/** The period that the chart shows: at least, and at most. */
const MIN_PERIOD = MINUTE, MAX_PERIOD = 3 * MINUTE;
/** A longer time between two events means that the totals did not change for most of it. */
const QUIET = 1_900;
/** How often the chart's description changes: screen readers read it on request, not continuously. */
const DESCRIBE_EVERY = 10_000;
/** How often the chart is drawn for users who prefer reduced motion. */
const REDUCED_MOTION_EVERY = 5_000;
const RETRY = 2_000;

const $ = (id) => document.getElementById(id);
const count = (number) => Math.round(number).toLocaleString('en');
const counted = (number, one, many) => `${count(number)} ${number === 1 ? one : many}`;
const sum = (numbers) => numbers.reduce((a, b) => a + b, 0);
const write = (element, text) => { if (element.textContent !== text) element.textContent = text; };

/** Events, the oldest first. The first event of a connection has no predecessor. */
let samples = [];
/** The last event, and by how much the service's clock is ahead of the browser's. */
let latest, ahead;
let source, retry, described = -Infinity, drawn = -Infinity;
let paused = false;

// ---- The stream.

function show(state, text) {
  $('state').dataset.state = state;
  write($('state'), text);
}

/** Opens the stream, or closes it while the page is hidden or paused. */
function connect() {
  disconnect();
  if (paused || document.hidden) return show('paused', 'Paused');
  let first = true;
  source = new EventSource('/v1/live');
  source.onmessage = ({ data }) => {
    take(JSON.parse(data), first);
    first = false;
    show('live', 'Live');
    draw();
  };
  source.onerror = () => {
    disconnect();
    const since = latest ? `; last update at ${latest.received.toLocaleTimeString('en-GB')}` : '';
    show('lost', `Not connected${since}`);
    retry = setTimeout(connect, RETRY);
  };
}

function disconnect() {
  clearTimeout(retry);
  source?.close();
  source = undefined;
}

function take(event, first) {
  if (event.started_ms !== latest?.started_ms) samples = [];
  latest = { ...event, received: new Date() };
  ahead = event.now_ms - performance.now();
  const before = samples.at(-1);
  const clients = new Map(event.state.clients.map((client) => [client.client, client]));
  // The totals of a client that was removed stay in the sums.
  for (const [name, client] of before?.clients ?? []) {
    if (!clients.has(name)) clients.set(name, { ...client, waiting: 0 });
  }
  let callers = 0, requests = 0, would = 0;
  for (const client of clients.values()) {
    // Waiting callers have no outcome yet. The service does not read the two at the same instant, so a caller
    // that gets its answer in between may be missing in one event.
    const calls = sum(Object.values(client.totals.callers)) + client.waiting;
    client.calls = Math.max(calls, before?.clients.get(client.client)?.calls ?? 0);
    client.would = client.totals.would_have_saved;
    callers += client.calls;
    requests += client.totals.requests;
    would += client.would;
  }
  samples.push({ t: event.now_ms, first, clients, callers, requests, would });
  const old = samples.findIndex(({ t }) => t > event.now_ms - MAX_PERIOD - MINUTE);
  samples.splice(0, Math.max(0, old - 1));
}

/** The service's clock; without a connection it stands still. */
const now = () => (source ? Math.max(performance.now() + ahead, latest.now_ms) : latest.now_ms);

/** The sample at the start of the last minute, or the oldest one after it. */
function minuteAgo() {
  let i = samples.length - 1;
  while (i > 0 && !samples[i].first && samples[i].t > now() - MINUTE) i--;
  return samples[i];
}

// ---- Drawing.

function draw() {
  if (!latest) return;
  const newest = samples.at(-1), { clients, flights } = latest.state;
  drawSum(newest, clients);
  drawMinute(newest, minuteAgo());
  const calm = matchMedia('(prefers-reduced-motion: reduce)').matches;
  if (!calm || performance.now() - drawn > REDUCED_MOTION_EVERY) drawChart();
  drawFlights(clients, flights);
  drawClients(clients);
  drawTimes(clients, minuteAgo());
  drawOutcomes(clients);
}

function drawSum({ callers, requests, would, clients: all }, clients) {
  const of = (figure) => sum([...all.values()].map(({ totals }) => totals[figure]));
  const saved = of('saved'), joined = of('joined');
  const observed = clients.filter(({ sharing }) => sharing === 'observed');
  const nothingShared = observed.length === clients.length;
  const percent = (part, whole) => `${count(Math.floor((100 * part) / whole))} %`;
  let headline = 'There have been no callers yet.';
  if (saved > 0) headline = `${percent(saved, saved + requests)} of the upstream requests were saved.`;
  else if (would > 0) headline = `Sharing would have saved ${percent(would, requests)} of the upstream requests.`;
  else if (callers > 0) headline = 'No two callers have requested the same at the same time yet.';
  write($('headline'), headline);
  write($('callers'), count(callers));
  write($('requests'), count(requests));
  write($('saved'), count(saved));
  write($('would'), count(would));
  $('saved-figure').hidden = nothingShared && clients.length > 0;
  const shares = { requests: requests - would, would, saved };
  $('shares').hidden = requests + saved === 0;
  for (const [name, share] of Object.entries(shares)) {
    const part = document.querySelector(`#shares .${name}`);
    part.hidden = share === 0;
    part.style.setProperty('--share', share);
  }
  $('observed').hidden = observed.length === 0;
  $('would-figure').hidden = $('would-legend').hidden = observed.length === 0 && would === 0;
  write($('joined'), joined > 0 ? `${counted(joined, 'caller', 'callers')} joined an open flight, and shared its answer.` : '');
  const names = observed.map(({ client }) => client).join(', ');
  const compared = (outcome) => sum(observed.map(({ totals }) => totals.compared[outcome] ?? 0));
  const equal = compared('equal'), answers = equal + compared('unequal');
  const comparison = answers === 0 ? 'No two answers have been compared yet.'
    : `${counted(answers, 'answer', 'answers')} would have been shared, of which ${count(equal)} ${equal === 1 ? 'was' : 'were'} equal.`;
  const why = equal < answers ? ' Answers that differ mean that the key is incomplete, or that the upstream changes fast.' : '';
  write($('observed'), `Observed only, nothing is shared: ${names}. ${comparison}${why}`);
}

function drawMinute(newest, before) {
  const seconds = Math.max(1, Math.round((now() - before.t) / 1_000));
  const since = (field) => newest[field] - before[field];
  write($('callers-minute'), count(since('callers')));
  write($('requests-minute'), count(since('requests')));
  write($('would-minute'), count(since('would')));
  write($('minute'), seconds < 60 ? `in the last ${seconds} s` : 'in the last minute');
  if (performance.now() - described > DESCRIBE_EVERY) {
    described = performance.now();
    const would = $('would-legend').hidden ? '' : `; sharing would have saved ${count(since('would'))}`;
    $('chart').setAttribute('aria-label', `${counted(since('callers'), 'caller', 'callers')} and ${counted(since('requests'), 'upstream request', 'upstream requests')} ${$('minute').textContent}${would}`);
  }
}

const svg = (name, attributes, parent = $('chart')) => {
  const element = document.createElementNS('http://www.w3.org/2000/svg', name);
  for (const [attribute, value] of Object.entries(attributes)) element.setAttribute(attribute, value);
  return parent.appendChild(element);
};
const marks = {
  grid: [0, 1, 2].map((n) => ({ line: svg('line', { class: n ? 'grid' : 'base' }), text: svg('text', { 'text-anchor': 'end' }) })),
  callers: svg('path', { class: 'callers' }),
  requests: svg('path', { class: 'requests' }),
  needed: svg('path', { class: 'needed' }),
  callersLine: svg('path', { class: 'callers-line' }),
  from: svg('text', {}),
  to: svg('text', { 'text-anchor': 'end' }),
};

/** The intervals between events, with their rates per second. */
function intervals() {
  const all = samples.slice(1).flatMap((sample, i) => {
    const before = samples[i], gap = sample.t - before.t;
    if (sample.first || gap <= 0) return [];
    const length = gap > QUIET ? 1_000 : gap;
    const rate = (field) => ((sample[field] - before[field]) * 1_000) / length;
    return [{ from: sample.t - length, to: sample.t, callers: rate('callers'), requests: rate('requests'), would: rate('would') }];
  });
  // Whether a request could have been saved is known when its flight lands. What exceeds the requests of that
  // interval was sent earlier.
  let early = 0;
  for (const interval of all.reverse()) {
    const length = interval.to - interval.from, known = interval.would + early / length;
    interval.needed = Math.max(0, interval.requests - known);
    early = Math.max(0, known - interval.requests) * length;
  }
  return all.reverse();
}

/** The least even number from a list of round ones that is not less. */
function roundUp(most) {
  const power = 10 ** Math.floor(Math.log10(most));
  const fine = power < 10 ? [] : [1.2, 1.6];
  return [1, ...fine, 2, 3, 4, 6, 8, 10].map((n) => n * power).find((n) => n >= most && n % 2 === 0);
}

function drawChart() {
  drawn = performance.now();
  const { width, height } = $('chart').getBoundingClientRect();
  const last = samples.at(-1).t, end = now() - last > QUIET ? now() : last;
  const shown = Math.min(Math.max(end - samples[0].t, MIN_PERIOD), MAX_PERIOD), begin = end - shown;
  const visible = intervals().filter(({ to }) => to > begin);
  const top = roundUp(Math.max(2, ...visible.map(({ callers, requests }) => Math.max(callers, requests))));
  const left = 12 + 7 * count(top).length, floor = height - 22, ceiling = 10;
  const x = (t) => (left + ((Math.max(t, begin) - begin) / shown) * (width - left)).toFixed(1);
  const y = (rate) => (floor - (rate / top) * (floor - ceiling)).toFixed(1);
  const steps = (field) => {
    let path = `M${x(Math.max(samples[0].t, begin))} ${y(0)}`, at = -Infinity;
    for (const { from, to, [field]: rate } of visible) {
      if (from - at > 1) path += `V${y(0)}H${x(from)}`;
      path += `V${y(rate)}H${x(to)}`;
      at = to;
    }
    return end - at > 1 ? `${path}V${y(0)}H${x(end)}` : path;
  };
  marks.grid.forEach(({ line, text }, n) => {
    const rate = (top / 2) * n;
    for (const [name, value] of [['x1', left], ['x2', width], ['y1', y(rate)], ['y2', y(rate)]]) line.setAttribute(name, value);
    text.setAttribute('x', left - 8);
    text.setAttribute('y', +y(rate) + 4);
    write(text, rate < 1 && rate > 0 ? '' : count(rate));
  });
  for (const [mark, at, text] of [[marks.from, left, shown < 1.5 * MINUTE ? `${Math.round(shown / 1_000)} s ago` : `${(shown / MINUTE).toFixed(shown % MINUTE ? 1 : 0)} min ago`], [marks.to, width, 'now']]) {
    mark.setAttribute('x', at);
    mark.setAttribute('y', height - 4);
    write(mark, text);
  }
  marks.callersLine.setAttribute('d', steps('callers'));
  marks.callers.setAttribute('d', `${steps('callers')}V${y(0)}Z`);
  marks.requests.setAttribute('d', `${steps('requests')}V${y(0)}Z`);
  marks.needed.setAttribute('d', `${steps('needed')}V${y(0)}Z`);
}

function drawFlights(clients, flights) {
  const all = sum(clients.map((client) => client.flights));
  const waiting = sum(clients.map((client) => client.waiting));
  const listed = all > flights.length ? ` The ${flights.length} with most callers:` : '';
  write($('flights').caption, all === 0 ? 'No flight is open.' : `${counted(waiting, 'caller waits', 'callers wait')} for ${counted(all, 'flight', 'flights')}.${listed}`);
  // A key is one row, whether it has one flight or several.
  const keys = [...Map.groupBy(flights, ({ client, key }) => `${client} ${key}`).values()].map((same) => ({
    ...same[0],
    flights: same.length,
    callers: sum(same.map(({ callers }) => callers)),
    opened: Math.min(...same.map(({ opened_ms }) => opened_ms)),
  }));
  keys.sort((one, other) => other.callers - one.callers || one.opened - other.opened);
  const most = keys[0]?.callers;
  fill($('flights'), keys, ({ client, key, flights, opened, callers }) => [
    { head: true, text: client },
    { class: 'key', text: key, tag: flights > 1 ? `${count(flights)} flights` : undefined },
    { class: 'n', text: time((now() - opened) / 1_000) },
    { class: 'n', text: count(callers), share: callers / most },
  ]);
}

function drawClients(clients) {
  fill($('clients'), clients, ({ client, sharing, calls, totals, would }) => [
    { head: true, text: client, tag: sharing === 'observed' ? 'observed only' : 'shared', shared: sharing !== 'observed' },
    { class: 'n', text: count(calls) },
    { class: 'n', text: count(totals.requests) },
    { class: 'n', text: sharing === 'observed' ? `would: ${count(would)}` : count(totals.saved) },
  ]);
}

function drawTimes(clients, before) {
  fill($('times'), clients, ({ client, totals }) => {
    const earlier = before.clients.get(client)?.totals;
    const times = ['caller_time', 'flight_time'].flatMap((field) => {
      const within = difference(totals[field], earlier?.[field]);
      return [0.5, 0.99].map((part) => ({ class: 'n', text: quantile(within, part) }));
    });
    return [{ head: true, text: client }, ...times];
  });
  write($('times').caption, `Median (p50) and 99th percentile (p99), ${$('minute').textContent}`);
}

function difference(counts, earlier = []) {
  const before = new Map(earlier);
  return counts.map(([part, n]) => [part, n - (before.get(part) ?? 0)]);
}

/** The quantile `part` of latencies, to an eighth of the bucket between two bounds. */
function quantile(counts, part) {
  const { bounds, steps } = latest, all = sum(counts.map(([, n]) => n));
  if (all === 0) return '–';
  let below = 0;
  const [place] = counts.find(([, n]) => (below += n) >= part * all);
  const range = Math.floor(place / steps), upper = bounds[range], lower = bounds[range - 1] ?? 0;
  if (upper === undefined) return `over ${time(lower)}`;
  return time(lower + ((upper - lower) * ((place % steps) + 1)) / steps);
}

function drawOutcomes(clients) {
  const rows = clients.flatMap(({ client, totals: { callers, flights } }) => {
    const outcomes = [...new Set([...Object.keys(callers), ...Object.keys(flights)])];
    return outcomes.map((outcome) => ({ client, outcome, callers: callers[outcome] ?? 0, flights: flights[outcome] ?? 0 }));
  });
  fill($('outcomes'), rows, ({ client, outcome, callers, flights }) => [
    { head: true, text: client },
    { text: outcome },
    { class: 'n', text: count(callers) },
    { class: 'n', text: count(flights) },
  ]);
}

function time(seconds) {
  if (seconds >= 10) return `${count(seconds)} s`;
  if (seconds >= 1) return `${seconds.toFixed(1)} s`;
  const ms = 1_000 * seconds;
  return `${ms >= 10 ? count(ms) : ms.toFixed(1)} ms`;
}

/** Sets the rows of a table in place, so that a selection and a screen reader's position stay. */
function fill(table, rows, cells) {
  const [body] = table.tBodies;
  while (body.rows.length > rows.length) body.deleteRow(-1);
  rows.forEach((row, i) => {
    const tr = body.rows[i] ?? body.insertRow();
    cells(row).forEach((cell, j) => {
      const td = tr.cells[j] ?? tr.appendChild(document.createElement(cell.head ? 'th' : 'td'));
      if (cell.head) td.scope = 'row';
      td.className = cell.class ?? '';
      const content = JSON.stringify(cell);
      if (td.dataset.content === content) return;
      td.dataset.content = content;
      td.replaceChildren(cell.text);
      if (cell.share !== undefined) {
        const bar = document.createElement('span');
        bar.className = 'crowd';
        bar.style.setProperty('--share', cell.share);
        td.prepend(bar);
      }
      if (cell.tag) {
        const tag = document.createElement('span');
        tag.className = cell.shared ? 'tag shared' : 'tag';
        tag.textContent = cell.tag;
        td.append(' ', tag);
      }
    });
  });
}

// ---- Events of the page.

$('pause').onclick = () => {
  paused = !paused;
  write($('pause'), paused ? 'Resume' : 'Pause');
  connect();
};
document.addEventListener('visibilitychange', connect);
addEventListener('resize', draw);
// Ages grow, and the chart moves, without events, too.
setInterval(() => { if (source && latest && now() - latest.now_ms > QUIET) draw(); }, 1_000);
connect();
