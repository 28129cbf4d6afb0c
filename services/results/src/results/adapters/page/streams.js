// What is wrong with a camera's stream, in short sentences.

import { clock } from "./dom.js";

const SKEW = 1000;
const QUIET = "no_motion";
const number = new Intl.NumberFormat("en");
/** What people can do about an error; what heals by itself has no entry. */
const ADVICE = {
  dependency_unavailable: "The camera is well; what its pictures are brought to is away.",
  forbidden_address: "Change the address, or SIGHTLINE_FORBIDDEN_NETWORKS.",
  frozen: "Restart the camera if it stays so.",
  hardware_unavailable: "Leave `hardware` out, or give the machine what it names.",
  not_found: "Check the path of the stream.",
  silent: "Start the camera service, or the node that the camera hangs on.",
  stale: "Look at the network's bandwidth and the camera service's CPU.",
  timeout: "Check that the camera is on; a slow one needs a longer timeout_seconds.",
  unauthorized: "Change its name and password.",
  unreachable: "Check address, port and network.",
  unreadable: "Check the camera's JPEG settings.",
  unsupported: "Change its settings, or choose another profile of the camera.",
  untrusted: "Check its certificate.",
};

/** Why a stream shows no pictures, a sentence a line: what happened, what to do, what comes next. */
export function whyNot(state, { error, details, last_error: lastError }) {
  if (state !== "error" || !error) {
    const waiting = [`Waiting for pictures (${state})`, details].filter(Boolean).join(": ");
    return lastError ? `${waiting}\nLast error: ${lastError}` : waiting;
  }
  return [
    `${error.cause ?? "error"}: ${error.message}`,
    ADVICE[error.cause],
    error.next_retry_at && `Next attempt (${error.reconnection_attempts + 1}): ${clock(error.next_retry_at)}.`,
  ].filter(Boolean).join("\n");
}

/** What a camera's clock does that it should not. */
export function clockHint(time) {
  const skew = time?.clock_skew_ms ?? 0;
  const parts = [];
  if (Math.abs(skew) > SKEW) parts.push(`its clock is ${(Math.abs(skew) / 1000).toFixed(1)} s ${skew > 0 ? "ahead" : "behind"}`);
  if (time?.clock_jumps) parts.push(`its clock jumped ${time.clock_jumps} times`);
  return parts.join(", ");
}

/** Which frames never left the camera service, by reason, the most frequent first. */
export function dropped(statistics) {
  const reasons = Object.entries(statistics?.frames_dropped_by_reason ?? {})
    .filter(([, count]) => count)
    .sort(([, one], [, other]) => other - one)
    .map(([reason, count]) => `${reason === QUIET ? "quiet" : reason.replaceAll("_", " ")} ${number.format(count)}`);
  return reasons.length ? `not sent: ${reasons.join(", ")}` : "";
}
