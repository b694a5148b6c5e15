// Files from this machine: sounds that are chosen or dropped onto the page, and the job as a file or a command.
import { upload } from "./api.js";
import { element } from "./elements.js";

const MOST_UPLOADED_BYTES = 200 * 2 ** 20;

// `received` gets the server's answer about a sound, and the file; `say` gets words for the status line.
export function receiveFiles({ input, drop, say, received }) {
  async function take(file) {
    if (file.size > MOST_UPLOADED_BYTES) {
      say(`${file.name} is larger than 200 MB.`);
      return;
    }
    say(`${file.name} is being read …`);
    try {
      received(await upload(file), file);
    } catch (error) {
      say(error.message);
    }
  }

  input.addEventListener("change", () => input.files[0] && take(input.files[0]));
  for (const name of ["dragover", "dragleave", "drop"]) {
    document.addEventListener(name, (event) => {
      event.preventDefault();
      drop.classList.toggle("over", name === "dragover");
      if (name === "drop" && event.dataTransfer.files[0]) take(event.dataTransfer.files[0]);
    });
  }
}

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

// A command line that makes a job's track in a terminal; `start` is the server's answer of api/start.
export function commandOf(job, format, start) {
  const lines = JSON.stringify(job, null, 2);
  return `(cd ${quoted(start.folder)} && ${start.program} render - -o ${start.name}.${format} <<'END_OF_JOB'\n${lines}\nEND_OF_JOB\n)`;
}

export function saveJob(job, name) {
  const file = new Blob([`${JSON.stringify(job, null, 2)}\n`], { type: "application/json" });
  const link = element("a", { href: URL.createObjectURL(file), download: `${name}.json` });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
