// The WebSocket feed: sightings of every camera, frames and states of those that are looked at.

import { token } from "./api.js";

const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 15000;
const ASK_AGAIN = 5000;
const EVERY = { camera_id: "*", events: ["sighting_event"] };

/**
 * Calls handlers[type](message) for each message, and handlers.state("live" | "lost").
 * Returns a function that takes the cameras that are looked at from now on.
 */
export function follow(handlers) {
  let pause = FIRST_PAUSE;
  let socket = null;
  let wanted = new Set();
  const asked = new Set();
  const granted = new Set();
  const client = `page-${crypto.randomUUID()}`;

  function connect() {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const url = `${scheme}://${location.host}/api/v1/detections/ws/${client}`;
    socket = new WebSocket(url, ["bearer", token()]);
    socket.onmessage = ({ data }) => {
      const message = JSON.parse(data);
      if (message.type === "connection_established") {
        pause = FIRST_PAUSE;
        handlers.state("live");
        adjust();
      }
      if (message.type === "subscribed") granted.add(message.camera_id);
      handlers[message.type]?.(message);
    };
    socket.onclose = () => {
      asked.clear();
      granted.clear();
      handlers.state("lost");
      setTimeout(connect, pause * (0.5 + Math.random() / 2));
      pause = Math.min(pause * 2, LONGEST_PAUSE);
    };
  }

  const say = (message) => socket.send(JSON.stringify(message));

  /** Ask for what is wanted, and let go of what is no longer. */
  function adjust() {
    if (socket?.readyState !== WebSocket.OPEN) return;
    for (const camera of ["*", ...wanted]) {
      if (asked.has(camera) || granted.has(camera)) continue;
      asked.add(camera);
      say({ type: "subscribe", ...(camera === "*" ? EVERY : { camera_id: camera }) });
    }
    for (const camera of granted) {
      if (camera === "*" || wanted.has(camera)) continue;
      asked.delete(camera);
      granted.delete(camera);
      say({ type: "unsubscribe", camera_id: camera });
    }
  }

  /** What was refused, while its audit could not be kept for example, is asked for again. */
  function askAgain() {
    asked.clear();
    adjust();
  }

  connect();
  setInterval(askAgain, ASK_AGAIN);
  return (cameras) => {
    wanted = new Set(cameras);
    adjust();
  };
}
