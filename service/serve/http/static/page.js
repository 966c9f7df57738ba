// Choose, drop or paste a picture, send it, show the labels. No library, no other host.
const $ = (id) => document.getElementById(id);
const { lang, maxBytes, took, working, tooLarge, offline, loading } = document.body.dataset;
const buttonText = $("classify").textContent;
let picture = null;

if (loading) setTimeout(() => location.reload(), 1000);

function choose(file) {
  hideOutcome();
  picture = null;
  $("classify").disabled = true;
  if (!file) return;
  if (file.size > Number(maxBytes)) {
    showError(tooLarge.replace("{limit}", Math.floor(Number(maxBytes) / 1e6)));
    return;
  }
  picture = file;
  const preview = $("preview");
  if (preview.src) URL.revokeObjectURL(preview.src);
  preview.src = URL.createObjectURL(file);
  // A browser may not know a format that the server reads: then there is no preview, only a name.
  preview.onload = () => { preview.hidden = false; $("hint").hidden = true; };
  preview.onerror = () => { preview.hidden = true; $("hint").hidden = false; $("hint").textContent = file.name; };
  preview.alt = file.name;
  $("classify").disabled = false;
}

async function classify() {
  if (!picture) return;
  hideOutcome();
  $("classify").disabled = true;
  $("classify").textContent = working;
  try {
    const response = await fetch(`predict?top_k=3&lang=${lang}`, {
      method: "POST",
      headers: { "Content-Type": "application/octet-stream" },
      body: picture,
    });
    const answer = await response.json();
    if (response.ok) showLabels(answer);
    else showError(`${answer.title}. ${answer.detail}`);
  } catch {
    showError(offline);
  } finally {
    $("classify").textContent = buttonText;
    $("classify").disabled = false;
  }
}

function showLabels(answer) {
  $("labels").replaceChildren(...answer.predictions.map(({ label, probability }) => {
    const percent = `${(100 * probability).toFixed(1)} %`;
    const row = document.createElement("li");
    const name = document.createElement("span");
    name.textContent = label;
    const value = document.createElement("span");
    value.textContent = percent;
    const bar = document.createElement("div");
    bar.className = "bar";
    const fill = bar.appendChild(document.createElement("div"));
    fill.style.width = "0";
    requestAnimationFrame(() => { fill.style.width = `${100 * probability}%`; });
    row.append(name, value, bar);
    return row;
  }));
  $("took").textContent = took.replace("{total}", answer.timing_ms.total);
  $("result").hidden = false;
  $("result").scrollIntoView({ block: "nearest" });
}

function showError(message) {
  $("error").textContent = message;
  $("error").hidden = false;
}

function hideOutcome() {
  $("error").hidden = true;
  $("result").hidden = true;
}

$("file").addEventListener("change", (event) => choose(event.target.files[0]));
$("form").addEventListener("submit", (event) => { event.preventDefault(); classify(); });
for (const type of ["dragover", "dragenter"]) {
  document.addEventListener(type, (event) => { event.preventDefault(); $("drop").classList.add("over"); });
}
document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) $("drop").classList.remove("over"); });
document.addEventListener("drop", (event) => {
  event.preventDefault();
  $("drop").classList.remove("over");
  choose(event.dataTransfer.files[0]);
});
document.addEventListener("paste", (event) => { if (event.clipboardData.files[0]) choose(event.clipboardData.files[0]); });
for (const button of document.querySelectorAll(".sample")) {
  button.addEventListener("click", async () => {
    const response = await fetch(button.dataset.src);
    choose(new File([await response.blob()], button.dataset.src.split("/").pop()));
    classify();
  });
}
