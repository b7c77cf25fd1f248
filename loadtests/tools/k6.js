// The shapes and gates of `ringline loadtest` for k6, as arrivals that wait for no answer:
//
//   k6 run -e SHAPE=load -e URL=http://127.0.0.1:8001 -e SECRET_FILE=ringline-data/secrets/demo.whsec k6.js
//
// TIME_SCALE=0.1 shortens it, SOURCE names another source. Exit code 99 when a threshold is crossed. What k6
// cannot see (the audit, lag, memory) only `ringline loadtest` judges.

import http from 'k6/http';
import crypto from 'k6/crypto';
import encoding from 'k6/encoding';
import exec from 'k6/execution';
import { Counter, Rate, Trend } from 'k6/metrics';

const PER_USER_S = 5;
// [seconds, users, seconds of ramp], as in loadtests/shapes.py
const SHAPES = {
  smoke: [[300, 10, 5]],
  load: [[1800, 100, 30]],
  stress: [50, 100, 150, 200, 250, 300, 350, 400, 450, 500].map((users) => [90, users, 0]),
  spike: [[120, 10, 0], [360, 200, 0], [120, 10, 0]],
  soak: [[7200, 50, 30]],
};
const SHEDDING = [429, 503];

const url = __ENV.URL || 'http://127.0.0.1:8001';
const source = __ENV.SOURCE || 'demo';
const scale = Number(__ENV.TIME_SCALE || 1);
const name = __ENV.SHAPE || 'smoke';
const steps = SHAPES[name];
if (!steps) throw new Error(`SHAPE=${name}: expected ${Object.keys(SHAPES).join(', ')}`);
const secret = secretOf(open(__ENV.SECRET_FILE || 'ringline-data/secrets/demo.whsec').trim());
const run = Math.floor(Math.random() * 0x100000000).toString(16).padStart(8, '0');

const accepted = new Trend('ringline_accepted', true);
const errors = new Rate('ringline_errors');
const shed = new Counter('ringline_shed');
const met = new Counter('ringline_met');

const planned = steps.reduce((sum, [seconds, users]) => sum + seconds * scale * users * PER_USER_S, 0);
const seconds = steps.reduce((sum, step) => sum + step[0] * scale, 0);

export const options = {
  scenarios: {
    [name]: {
      executor: 'ramping-arrival-rate',
      startRate: steps[0][2] ? 0 : steps[0][1] * PER_USER_S,
      timeUnit: '1s',
      preAllocatedVUs: 50,
      maxVUs: 2000,
      stages: steps.flatMap(([duration, users, ramp]) => [
        { target: users * PER_USER_S, duration: `${Math.round(ramp * scale * 1000)}ms` },
        { target: users * PER_USER_S, duration: `${Math.round((duration - ramp) * scale * 1000)}ms` },
      ]),
    },
  },
  thresholds: Object.assign(
    { ringline_accepted: [`p(95)<${__ENV.P95_MS || 100}`], ringline_errors: ['rate<0.001'] },
    // Past its knee nothing is asked of a stress test but that it does no harm.
    name === 'stress' ? {} : { dropped_iterations: [`count<${Math.ceil(planned * 0.02)}`] },
    planned / seconds > 400 && name !== 'stress' ? { ringline_met: ['rate>400'] } : {},
  ),
  summaryTrendStats: ['min', 'med', 'avg', 'p(95)', 'p(99)', 'max'],
};

function secretOf(text) {
  if (!text.startsWith('whsec_')) throw new Error('SECRET_FILE: expected whsec_<base64>');
  return encoding.b64decode(text.slice(6), 'std');
}

export default function () {
  const number = exec.scenario.iterationInTest;
  const symbol = `K6.${run}.${exec.vu.idInTest.toString(16)}`;
  const side = number % 2 ? 'close' : 'buy';
  const body = JSON.stringify({ type: 'signal', symbol, side, strategy: 'k6', quantity: '10', price: '101.25' });
  const id = `k6-${run}-${number}`;
  const timestamp = String(Math.floor(Date.now() / 1000));
  const mac = crypto.hmac('sha256', secret, `${id}.${timestamp}.${body}`, 'base64');
  const answer = http.post(`${url}/webhook/${source}`, body, {
    headers: {
      'content-type': 'application/json',
      'webhook-id': id,
      'webhook-timestamp': timestamp,
      'webhook-signature': `v1,${mac}`,
    },
    responseCallback: http.expectedStatuses(202, ...SHEDDING),
  });
  const refused = SHEDDING.includes(answer.status) && answer.headers['Retry-After'] !== undefined;
  if (answer.status === 202) {
    accepted.add(answer.timings.duration);
    met.add(1);
  }
  if (refused) shed.add(1);
  errors.add(answer.status !== 202 && !refused);
}
