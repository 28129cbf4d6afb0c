// The live page: signs in, shows what is there, and follows what happens.

import * as api from "./api.js";
import { showBalances } from "./books.js";
import { byId, notice } from "./dom.js";
import { follow } from "./feed.js";
import { offerSearch, sift } from "./find.js";
import { renameSightings, showHealth, showModels, showSighting } from "./panels.js";
import { addByPhoto, showPeople } from "./people.js";
import { askForToken } from "./sign-in.js";
import { onView, showCameras, showFrame, showState } from "./tiles.js";
import { showFace } from "./why.js";

const REFRESH = 5000;
const BOOKS_EVERY = 3;
let people = [];
let turns = 0;

const nameOf = (id) => people.find((person) => person.person_id === id)?.name;

async function refreshPeople() {
  people = await api.people();
  showPeople(people, refreshPeople);
  renameSightings(nameOf);
}

async function refresh() {
  try {
    const [cameras, health, models] = await Promise.all([api.cameras(), api.health(), api.models()]);
    showCameras(cameras);
    sift(cameras);
    showHealth(health);
    showModels(models);
    await refreshPeople();
    if (turns++ % BOOKS_EVERY === 0) showBalances(await api.balances());
  } catch (error) {
    if (error.status === 401) return askForToken(error.message);
    notice(error.message);
  }
  setTimeout(refresh, REFRESH);
}

async function start() {
  api.takeToken();
  if (!api.token()) return askForToken();
  try {
    await api.signIn(api.token());
  } catch (error) {
    return askForToken(error.message);
  }
  offerSearch();
  byId("add-person").onclick = () => addByPhoto(people, refreshPeople);
  await refresh();
  for (const sighting of (await api.sightings()).reverse()) showSighting(sighting, nameOf);
  const context = { people: () => people, changed: refreshPeople };
  const watch = follow({
    state: (state) => {
      byId("link").dataset.state = state;
      byId("link").textContent = state === "live" ? "live" : "connection lost, trying again";
    },
    detection_event: ({ data }) => showFrame(data, (detection, frame) => showFace(detection, frame, context)),
    sighting_event: ({ data }) => showSighting(data, nameOf),
    camera_event: ({ data }) => showState(data.camera_id, data, data.session),
  });
  onView(watch);
}

start();
