// Choose, drop or paste a picture, send it, show the labels. No library, no other host.
const $ = (id) => document.getElementById(id);
const { lang, predict, maxBytes, loading } = document.body.dataset;
const texts = JSON.parse(document.body.dataset.texts);
const buttonText = $("classify").textContent;
let picture = null;

if (loading) setTimeout(() => location.reload(), 1000);

// What cannot be sent leaves the page as it was: the picture before it can still be sent.
async function choose(files) {
  hideOutcome();
  const [file] = files;
  if (!file) return showError(texts.no_file);
  if (file.size > Number(maxBytes)) {
    return showError(texts.too_large.replace("{limit}", Math.floor(Number(maxBytes) / 1e6)));
  }
  let data;
  try {
    data = await file.arrayBuffer();
  } catch {
    return showError(texts.unreadable.replace("{name}", () => file.name));
  }
  if (!data.byteLength) return showError(texts.empty.replace("{name}", () => file.name));
  picture = data;
  $("classify").textContent = buttonText; // an answer that is still to come is the one before's, and not shown
  const preview = $("preview");
  if (preview.src) URL.revokeObjectURL(preview.src);
  preview.src = URL.createObjectURL(file);
  // A browser may not know a format that the server reads: then there is no preview, only a name.
  preview.onload = () => { preview.hidden = false; $("hint").hidden = true; };
  preview.onerror = () => { preview.hidden = true; $("hint").hidden = false; $("hint").textContent = file.name; };
  preview.alt = file.name;
  $("classify").disabled = false;
  if (files.length > 1) showError(texts.first_only.replace("{count}", files.length));
}

async function classify() {
  if (!picture) return;
  const sent = picture;
  hideOutcome();
  $("classify").disabled = true;
  $("classify").textContent = texts.working;
  try {
    const response = await fetch(`${predict}?lang=${lang}`, {
      method: "POST",
      headers: { "Content-Type": "application/octet-stream" },
      body: sent,
      redirect: "manual",
    });
    const answer = parsed(await response.text());
    if (sent !== picture) return;
    if (response.ok && answer.predictions) showLabels(answer);
    else if (answer.title && answer.detail) showError(`${answer.title}. ${answer.detail}`);
    else showError(strange(response));
  } catch {
    if (sent === picture) showError(texts.offline);
  } finally {
    if (sent === picture) {
      $("classify").textContent = buttonText;
      $("classify").disabled = false;
    }
  }
}

function parsed(text) {
  try {
    return JSON.parse(text) ?? {};
  } catch {
    return {};
  }
}

// What is said of an answer that the server did not give, but something before it: a proxy, a balancer, a sign-in.
function strange({ type, status }) {
  const kind = type === "opaqueredirect" ? 401 : status >= 500 ? 500 : status;
  return (texts[`answer_${kind}`] ?? texts.answer_other).replace("{status}", status);
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
  $("took").textContent = texts.took.replace("{total}", answer.timing_ms.total);
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

$("file").addEventListener("change", ({ target }) => {
  if (target.files.length) choose([...target.files]);
  target.value = ""; // or choosing the same file again would be no change
});
$("form").addEventListener("submit", (event) => { event.preventDefault(); classify(); });
for (const type of ["dragover", "dragenter"]) {
  document.addEventListener(type, (event) => { event.preventDefault(); $("drop").classList.add("over"); });
}
document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) $("drop").classList.remove("over"); });
document.addEventListener("drop", (event) => {
  event.preventDefault();
  $("drop").classList.remove("over");
  choose([...event.dataTransfer.files]);
});
document.addEventListener("paste", (event) => choose([...event.clipboardData.files]));
for (const button of document.querySelectorAll(".sample")) {
  button.addEventListener("click", async () => {
    const { src } = button.dataset;
    try {
      const response = await fetch(src, { redirect: "manual" });
      const blob = await response.blob();
      if (!response.ok || !blob.type.startsWith("image/")) return showError(strange(response));
      await choose([new File([blob], src.split("/").pop())]);
    } catch {
      return showError(texts.offline);
    }
    classify();
  });
}
