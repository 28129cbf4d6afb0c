// The WebSocket feed: subscribes to every camera, reconnects with growing pauses.

import { token } from "./api.js";

const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 15000;

/** Calls handlers[type](message) for each message, and handlers.state("live" | "lost"). */
export function follow(handlers) {
  let pause = FIRST_PAUSE;
  const client = `page-${crypto.randomUUID()}`;

  function connect() {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const url = `${scheme}://${location.host}/api/v1/detections/ws/${client}`;
    const socket = new WebSocket(url, ["bearer", token()]);
    socket.onmessage = ({ data }) => {
      const message = JSON.parse(data);
      if (message.type === "connection_established") {
        pause = FIRST_PAUSE;
        handlers.state("live");
        socket.send(JSON.stringify({ type: "subscribe", camera_id: "*" }));
      }
      handlers[message.type]?.(message);
    };
    socket.onclose = () => {
      handlers.state("lost");
      setTimeout(connect, pause * (0.5 + Math.random() / 2));
      pause = Math.min(pause * 2, LONGEST_PAUSE);
    };
  }

  connect();
}
