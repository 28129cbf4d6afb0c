// The live page: signs in, shows what is there, and follows what happens.

import * as api from "./api.js";
import { showBalances } from "./books.js";
import { byId, notice, onceTyped } from "./dom.js";
import { follow } from "./feed.js";
import { offerSearch, sift } from "./find.js";
import { showHealth, showModels, showSighting, showStored } from "./panels.js";
import { addByPhoto, showPeople } from "./people.js";
import { askForToken } from "./sign-in.js";
import { onView, showCameras, showFrame, showState } from "./tiles.js";
import { showFace } from "./why.js";

const REFRESH = 5000;
/** What is personal is asked for less often: each time is an entry of the audit log. */
const PEOPLE_EVERY = 3;
let turns = 0;

const sought = () => byId("find-person").value.trim();

async function listPeople() {
  const search = sought();
  const people = await api.people(search);
  if (search === sought()) showPeople(people, refreshPeople);
}

async function refreshPeople() {
  const [, sightings] = await Promise.all([listPeople(), api.sightings()]);
  showStored(sightings);
}

async function refresh() {
  if (document.hidden) return setTimeout(refresh, REFRESH);
  try {
    const [cameras, health, models] = await Promise.all([api.cameras(), api.health(), api.models()]);
    showCameras(cameras);
    sift(cameras);
    showHealth(health);
    showModels(models);
    if (turns++ % PEOPLE_EVERY === 0) {
      await refreshPeople();
      showBalances(await api.balances());
    }
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
  byId("add-person").onclick = () => addByPhoto(refreshPeople);
  byId("find-person").oninput = ({ target }) =>
    onceTyped(target, () => listPeople().catch((error) => notice(error.message)));
  await refresh();
  const watch = follow({
    state: (state) => {
      byId("link").dataset.state = state;
      byId("link").textContent = state === "live" ? "live" : "connection lost, trying again";
    },
    detection_event: ({ data }) => showFrame(data, (detection, frame) => showFace(detection, frame, refreshPeople)),
    sighting_event: ({ data }) => showSighting(data),
    camera_event: ({ data }) => showState(data.camera_id, data, data.session),
  });
  onView(watch);
}

start();
