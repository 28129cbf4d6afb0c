// This device as a camera: its pictures as JPEG over a WebSocket, at the camera's own rate.

import * as api from "./api.js";
import { byId, element } from "./dom.js";
import { askForToken } from "./sign-in.js";

const LONGEST_SIDE = 1280;
const QUALITY = 0.85;
const BEHIND = 1_000_000;
const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 15000;
/** Close codes after which trying again is of no use, or would send somebody else away. */
const FINAL = new Set([1009, 4401, 4404, 4409, 4410]);

const canvas = document.createElement("canvas");
const counts = { sent: 0, accepted: 0, skipped: 0, dropped: 0 };
let running = null;

const isPushed = ({ stream_config: stream }) => stream.stream_type === "WEBSOCKET" && !stream.ws_url;

function show(state, problem = "") {
  byId("link").dataset.state = state;
  byId("link").textContent = { idle: "not connected", lost: "trying again" }[state] ?? state;
  byId("problem").textContent = problem;
  byId("toggle").textContent = running ? "Stop" : "Start";
  byId("counts").hidden = !running && !counts.sent;
  for (const [name, count] of Object.entries(counts)) byId(name).textContent = count;
}

async function listCameras(chosen) {
  const cameras = (await api.cameras()).filter(isPushed);
  byId("camera").replaceChildren(...cameras.map((camera) => {
    const option = element("option", { value: camera.camera_id, textContent: camera.name });
    option.fps = camera.detection_config.fps_limit;
    return option;
  }));
  if (chosen) byId("camera").value = chosen;
  byId("toggle").disabled = !cameras.length;
}

async function addCamera() {
  try {
    const name = `Browser ${new Date().toLocaleString()}`;
    const camera = await api.call("POST", "/cameras", { name, stream_config: { stream_type: "WEBSOCKET" } });
    await listCameras(camera.camera_id);
  } catch (error) {
    show("idle", error.message);
  }
}

async function start() {
  const [option] = byId("camera").selectedOptions;
  const video = byId("preview");
  video.srcObject = await navigator.mediaDevices.getUserMedia({
    video: { facingMode: byId("lens").value, width: { ideal: LONGEST_SIDE } }, audio: false,
  });
  await video.play();
  running = { camera: option.value, pause: FIRST_PAUSE };
  running.timer = setInterval(() => sendPicture(video), 1000 / option.fps);
  running.awake = await navigator.wakeLock?.request("screen").catch(() => null);
  connect(running);
}

function stop(problem) {
  clearInterval(running?.timer);
  running?.awake?.release();
  running?.socket?.close(1000);
  for (const track of byId("preview").srcObject?.getTracks() ?? []) track.stop();
  byId("preview").srcObject = null;
  running = null;
  show("idle", problem);
}

function connect(run) {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  const url = `${scheme}://${location.host}/api/v1/cameras/${run.camera}/push`;
  const socket = run.socket = new WebSocket(url, ["bearer", api.token()]);
  let refused = "The gateway refused: is this camera switched on, may this token push?";
  socket.onopen = () => { run.pause = FIRST_PAUSE; refused = ""; show("live"); };
  socket.onmessage = ({ data }) => heard(JSON.parse(data));
  socket.onclose = ({ code, reason }) => {
    if (running !== run) return;
    if (FINAL.has(code)) { stop(reason || `The server ended it (${code}).`); return; }
    show("lost", reason || refused);
    setTimeout(() => { if (running === run) connect(run); }, run.pause * (0.5 + Math.random() / 2));
    run.pause = Math.min(run.pause * 2, LONGEST_PAUSE);
  };
}

function heard(message) {
  if (message.type === "accepted") {
    counts.accepted = message.accepted;
    counts.skipped = message.skipped;
  }
  if (message.type === "dropped") counts.dropped = Object.values(message.dropped).reduce((sum, count) => sum + count, 0);
  show("live", message.error?.message);
}

function sendPicture(video) {
  const socket = running?.socket;
  if (socket?.readyState !== WebSocket.OPEN || socket.bufferedAmount > BEHIND || !video.videoWidth) return;
  const scale = Math.min(1, LONGEST_SIDE / Math.max(video.videoWidth, video.videoHeight));
  canvas.width = Math.round(video.videoWidth * scale);
  canvas.height = Math.round(video.videoHeight * scale);
  canvas.getContext("2d").drawImage(video, 0, 0, canvas.width, canvas.height);
  canvas.toBlob((picture) => {
    if (picture && socket.readyState === WebSocket.OPEN) {
      socket.send(picture);
      counts.sent += 1;
      byId("sent").textContent = counts.sent;
    }
  }, "image/jpeg", QUALITY);
}

async function begin() {
  const chosen = new URLSearchParams(location.search).get("camera");
  api.takeToken();
  if (!api.token()) { askForToken(); return; }
  try {
    await api.signIn(api.token());
    await listCameras(chosen);
  } catch (error) {
    askForToken(error.message);
    return;
  }
  byId("insecure").hidden = Boolean(navigator.mediaDevices);
  byId("add-camera").onclick = addCamera;
  byId("push").onsubmit = (event) => {
    event.preventDefault();
    if (running) { stop(); return; }
    Object.assign(counts, { sent: 0, accepted: 0, skipped: 0, dropped: 0 });
    start().catch((error) => stop(`The camera of this device: ${error.message}`));
  };
  show("idle");
}

begin();
