const { createHistogram } = require("node:perf_hooks");

/**
 * Keeps `inFlight` calls running for `ms`, waits for the last of them, and says what it took. `call(index, done)` gives
 * a promise or calls back. Of every `every` calls one is timed, from its start to its result.
 */
function load(call, inFlight, ms, every) {
  const histogram = createHistogram();
  return measured(histogram, (finish, fail) => {
    let started = 0;
    let finished = 0;
    let running = 0;
    let untilTimed = 1;
    let over = false;
    const next = () => {
      finished++;
      if (!over) start();
      else if (--running === 0) finish(finished);
    };
    const start = () => {
      let done = next;
      if (--untilTimed === 0) {
        untilTimed = every;
        const begin = performance.now();
        done = () => {
          // No BigInt: V8 optimises what subtracts them, and whom it calls, again and again.
          histogram.record(Math.round((performance.now() - begin) * 1e6) || 1);
          next();
        };
      }
      const promise = call(started++, done);
      if (promise !== undefined) promise.then(done, fail);
    };
    setTimeout(() => {
      over = true;
    }, ms);
    while (running < inFlight) {
      running++;
      start();
    }
  });
}

/**
 * Gives a function that runs `pass(count)`, which handles so many messages, again and again until `ms` are over. The
 * first has `least`, and each has what the one before it would have done in `ms`, but at most `most`: somebody slow does
 * not take minutes.
 */
function passes(pass, least, most) {
  let count = least;
  return (ms) =>
    measured(undefined, (finish, fail) => {
      const end = performance.now() + ms;
      let finished = 0;
      const run = async () => {
        let begin = performance.now();
        do {
          await pass(count);
          finished += count;
          const now = performance.now();
          count = Math.round(Math.min(Math.max((count / (now - begin)) * ms, least), most));
          begin = now;
        } while (begin < end);
        finish(finished);
      };
      run().catch(fail);
    });
}

/** What `run` did, in how much time of the clock and of the processors; microseconds of the histogram's quantiles. */
async function measured(histogram, run) {
  const cpu = cpuSeconds();
  const begin = performance.now();
  const count = await new Promise(run);
  const seconds = (performance.now() - begin) / 1000;
  const quantile = (percent) => histogram.percentile(percent) / 1000;
  return {
    count,
    seconds,
    rate: count / seconds,
    cpu: cpuSeconds() - cpu,
    ...(histogram && { p50: quantile(50), p99: quantile(99), p999: quantile(99.9) }),
  };
}

/** What this process has used of the processors, in user code and in the kernel. */
function cpuSeconds() {
  const { userCPUTime, systemCPUTime } = process.resourceUsage();
  return (userCPUTime + systemCPUTime) / 1e6;
}

module.exports = { cpuSeconds, load, passes };
