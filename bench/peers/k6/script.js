// The work of `cargo xtask bench peers` for Grafana k6, by `k6/websockets`, which its documentation recommends over
// `k6/ws`. With SHARED above 1 one VU holds several sockets, as that module's event loop allows.
import { WebSocket } from 'k6/websockets';
import { Trend } from 'k6/metrics';

const { URL, WORK, USERS, RAMP, RATE, SECONDS, THINK, SHARED } = __ENV;
const shared = Number(SHARED || 1);
const turn = new Trend('turn', true);

const ramping = {
  executor: 'ramping-vus',
  startVUs: 0,
  stages: [
    { duration: `${RAMP}s`, target: USERS / shared },
    { duration: '600s', target: USERS / shared },
  ],
  gracefulRampDown: '0s',
  gracefulStop: '0s',
};
const arriving = {
  executor: 'constant-arrival-rate',
  rate: Number(RATE),
  timeUnit: '1s',
  duration: `${SECONDS}s`,
  preAllocatedVUs: 200,
  maxVUs: 500,
};
const constant = { executor: 'constant-vus', vus: Number(USERS), duration: '600s', gracefulStop: '0s' };
const scenario = {
  idle: ramping, turns: ramping, paced: ramping,
  upgrades: constant,
  refused: arriving, reset: arriving, stalled: arriving,
}[WORK];

export const options = {
  scenarios: { [WORK]: scenario },
  discardResponseBodies: true,
  summaryTrendStats: ['avg', 'med', 'p(90)', 'p(95)', 'p(99)', 'max', 'count'],
};

export default function () {
  for (let i = 0; i < shared; i++) {
    converse();
  }
}

function converse() {
  const socket = new WebSocket(URL);
  let sent = 0;
  let turns = 0;
  const say = () => {
    sent = Date.now();
    socket.send('hello');
  };
  socket.onopen = () => (WORK === 'upgrades' ? socket.close() : say());
  socket.onerror = (event) => console.error(event.error);
  socket.onmessage = () => {
    turn.add(Date.now() - sent);
    turns += 1;
    if (WORK === 'turns') say();
    else if (WORK === 'paced') setTimeout(say, THINK * 1000);
    else if (WORK === 'reset' && turns === 1) setTimeout(say, 2000);
    else if (WORK !== 'idle') socket.close();
  };
}
