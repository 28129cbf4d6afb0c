// The frame ledger: what became of every captured frame, a line under each camera.

const number = new Intl.NumberFormat("en");
const ENDINGS = ["shed", "failed", "lost"];

/** Show the balance of each camera that has a tile. */
export function showBalances(cameras) {
  for (const camera of cameras) {
    const line = document.querySelector(`[data-camera="${CSS.escape(camera.camera_id)}"] .book`);
    if (!line) continue;
    line.textContent = sentence(camera);
    line.dataset.lost = String(camera.lost.total > 0);
    line.title = reasons(camera);
  }
}

/** "captured 1,234 = processed 1,200 + shed 30 + failed 4, open 0" */
function sentence(camera) {
  const parts = [`processed ${number.format(camera.processed)}`];
  for (const ending of ENDINGS) {
    if (camera[ending].total) parts.push(`${ending} ${number.format(camera[ending].total)}`);
  }
  return `captured ${number.format(camera.captured)} = ${parts.join(" + ")}, open ${number.format(camera.open)}`;
}

function reasons(camera) {
  const found = ENDINGS.flatMap((ending) => Object.entries(camera[ending].by_reason)
    .map(([reason, count]) => `${ending}, ${reason}: ${number.format(count)}`));
  return ["The last 24 hours", ...found].join("\n");
}
