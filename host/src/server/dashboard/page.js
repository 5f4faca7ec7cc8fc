// Draws what GET /v1/live tells: totals since the start of the service, about once a second while
// something happens. What happened within a time is the difference of two of them.

const MINUTE = 60_000;
/** How much of the past the picture shows: at least, and at most. */
const LEAST = MINUTE, MOST = 3 * MINUTE;
/** A service that had nothing new for longer than this had nothing to tell in between. */
const QUIET = 1_900;
/** How often the picture's description changes: it is there to be asked for, not to be followed. */
const DESCRIBED = 10_000;
/** How often the picture moves for those who want nothing to move. */
const CALM = 5_000;
const RETRY = 2_000;

const $ = (id) => document.getElementById(id);
const count = (number) => Math.round(number).toLocaleString('en');
const counted = (number, one, many) => `${count(number)} ${number === 1 ? one : many}`;
const sum = (numbers) => numbers.reduce((a, b) => a + b, 0);
const write = (element, text) => { if (element.textContent !== text) element.textContent = text; };

/** What was told, oldest first. The first of a connection follows nothing. */
let samples = [];
/** The last event, and by how much the service's clock is ahead of this page's. */
let latest, ahead;
let source, retry, described = -Infinity, drawn = -Infinity;
let paused = false;

// ---- The stream.

function show(state, text) {
  $('state').dataset.state = state;
  write($('state'), text);
}

/** Opens the stream, or closes it where nobody looks. */
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
    const since = latest ? `; this is how it was at ${latest.told.toLocaleTimeString('en-GB')}` : '';
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
  latest = { ...event, told: new Date() };
  ahead = event.now_ms - performance.now();
  const before = samples.at(-1);
  const clients = new Map(event.figures.clients.map((client) => [client.client, client]));
  // What a client that is gone has come to stays in the sums.
  for (const [name, client] of before?.clients ?? []) {
    if (!clients.has(name)) clients.set(name, { ...client, waiting: 0 });
  }
  let callers = 0, requests = 0, would = 0;
  for (const client of clients.values()) {
    // Who waits is told nothing yet. The two are not read at the same instant, so one who is told
    // something in between may be missing, once.
    const asked = sum(Object.values(client.totals.callers)) + client.waiting;
    client.asked = Math.max(asked, before?.clients.get(client.client)?.asked ?? 0);
    client.would = client.totals.would_have_saved;
    callers += client.asked;
    requests += client.totals.requests;
    would += client.would;
  }
  samples.push({ t: event.now_ms, first, clients, callers, requests, would });
  const old = samples.findIndex(({ t }) => t > event.now_ms - MOST - MINUTE);
  samples.splice(0, Math.max(0, old - 1));
}

/** The service's clock. Where the service is not heard, its time stands still. */
const now = () => (source ? Math.max(performance.now() + ahead, latest.now_ms) : latest.now_ms);

/** The sample that the last minute began with, as far as it is known. */
function minuteAgo() {
  let i = samples.length - 1;
  while (i > 0 && !samples[i].first && samples[i].t > now() - MINUTE) i--;
  return samples[i];
}

// ---- What is drawn.

function draw() {
  if (!latest) return;
  const newest = samples.at(-1), { clients, flights } = latest.figures;
  drawSum(newest, clients);
  drawMinute(newest, minuteAgo());
  const calm = matchMedia('(prefers-reduced-motion: reduce)').matches;
  if (!calm || performance.now() - drawn > CALM) drawPicture();
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
  let headline = 'Nobody has asked yet.';
  if (saved > 0) headline = `${percent(saved, saved + requests)} of the upstream requests were saved.`;
  else if (would > 0) headline = `Sharing would have saved ${percent(would, requests)} of the upstream requests.`;
  else if (callers > 0) headline = 'Nobody has asked for the same at the same time yet.';
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
  write($('joined'), joined > 0 ? `${counted(joined, 'caller', 'callers')} joined a flight that was under way, and shared its answer.` : '');
  const names = observed.map(({ client }) => client).join(', ');
  const compared = (outcome) => sum(observed.map(({ totals }) => totals.compared[outcome] ?? 0));
  const equal = compared('equal'), answers = equal + compared('unequal');
  const found = answers === 0 ? 'No two answers could be compared yet.'
    : `${counted(answers, 'answer', 'answers')} would have been shared, of which ${count(equal)} ${equal === 1 ? 'was' : 'were'} equal.`;
  const why = equal < answers ? ' Where they are not, the key does not say enough, or the upstream changes fast.' : '';
  write($('observed'), `Only observed, nothing is shared: ${names}. ${found}${why}`);
}

function drawMinute(newest, before) {
  const seconds = Math.max(1, Math.round((now() - before.t) / 1_000));
  const since = (field) => newest[field] - before[field];
  write($('callers-minute'), count(since('callers')));
  write($('requests-minute'), count(since('requests')));
  write($('would-minute'), count(since('would')));
  write($('minute'), seconds < 60 ? `in the last ${seconds} s` : 'in the last minute');
  if (performance.now() - described > DESCRIBED) {
    described = performance.now();
    const would = $('would-legend').hidden ? '' : `; sharing would have saved ${count(since('would'))}`;
    $('picture').setAttribute('aria-label', `${counted(since('callers'), 'caller', 'callers')} and ${counted(since('requests'), 'upstream request', 'upstream requests')} ${$('minute').textContent}${would}`);
  }
}

const svg = (name, attributes, parent = $('picture')) => {
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

/** Stretches of time within which something happened, and how much of it in a second. */
function stretches() {
  const all = samples.slice(1).flatMap((sample, i) => {
    const before = samples[i], gap = sample.t - before.t;
    if (sample.first || gap <= 0) return [];
    const length = gap > QUIET ? 1_000 : gap;
    const rate = (field) => ((sample[field] - before[field]) * 1_000) / length;
    return [{ from: sample.t - length, to: sample.t, callers: rate('callers'), requests: rate('requests'), would: rate('would') }];
  });
  // Whether a request could have been saved is known when its flight lands. What is too much for that
  // second was sent before.
  let early = 0;
  for (const stretch of all.reverse()) {
    const length = stretch.to - stretch.from, known = stretch.would + early / length;
    stretch.needed = Math.max(0, stretch.requests - known);
    early = Math.max(0, known - stretch.requests) * length;
  }
  return all.reverse();
}

/** The least number that halves well and is not less. */
function round(most) {
  const power = 10 ** Math.floor(Math.log10(most));
  const fine = power < 10 ? [] : [1.2, 1.6];
  return [1, ...fine, 2, 3, 4, 6, 8, 10].map((n) => n * power).find((n) => n >= most && n % 2 === 0);
}

function drawPicture() {
  drawn = performance.now();
  const { width, height } = $('picture').getBoundingClientRect();
  const last = samples.at(-1).t, end = now() - last > QUIET ? now() : last;
  const shown = Math.min(Math.max(end - samples[0].t, LEAST), MOST), begin = end - shown;
  const seen = stretches().filter(({ to }) => to > begin);
  const top = round(Math.max(2, ...seen.map(({ callers, requests }) => Math.max(callers, requests))));
  const left = 12 + 7 * count(top).length, floor = height - 22, ceiling = 10;
  const x = (t) => (left + ((Math.max(t, begin) - begin) / shown) * (width - left)).toFixed(1);
  const y = (rate) => (floor - (rate / top) * (floor - ceiling)).toFixed(1);
  const steps = (field) => {
    let path = `M${x(Math.max(samples[0].t, begin))} ${y(0)}`, at = -Infinity;
    for (const { from, to, [field]: rate } of seen) {
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
  write($('flights').caption, all === 0 ? 'No flight is under way.' : `${counted(waiting, 'caller waits', 'callers wait')} for ${counted(all, 'flight', 'flights')}.${listed}`);
  // What is asked for at once is one row, whether that takes one flight or several.
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
  fill($('clients'), clients, ({ client, sharing, asked, totals, would }) => [
    { head: true, text: client, tag: sharing === 'observed' ? 'only observed' : 'shared', shared: sharing !== 'observed' },
    { class: 'n', text: count(asked) },
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
  write($('times').caption, `Half took no longer (p50), and 99 of 100 (p99), ${$('minute').textContent}`);
}

function difference(counts, earlier = []) {
  const before = new Map(earlier);
  return counts.map(([part, n]) => [part, n - (before.get(part) ?? 0)]);
}

/** The time that `part` of all took no longer than, to an eighth of the range between two bounds. */
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

/** Makes the rows of a table these, in place: what is selected or read there stays. */
function fill(table, rows, cells) {
  const [body] = table.tBodies;
  while (body.rows.length > rows.length) body.deleteRow(-1);
  rows.forEach((row, i) => {
    const tr = body.rows[i] ?? body.insertRow();
    cells(row).forEach((cell, j) => {
      const td = tr.cells[j] ?? tr.appendChild(document.createElement(cell.head ? 'th' : 'td'));
      if (cell.head) td.scope = 'row';
      td.className = cell.class ?? '';
      const said = JSON.stringify(cell);
      if (td.dataset.said === said) return;
      td.dataset.said = said;
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

// ---- Who looks.

$('pause').onclick = () => {
  paused = !paused;
  write($('pause'), paused ? 'Go on' : 'Pause');
  connect();
};
document.addEventListener('visibilitychange', connect);
addEventListener('resize', draw);
// Ages go on, and the picture moves, where nothing is told because nothing happens.
setInterval(() => { if (source && latest && now() - latest.now_ms > QUIET) draw(); }, 1_000);
connect();
