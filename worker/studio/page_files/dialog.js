// A question with two answers.
const byId = (id) => document.getElementById(id);

// `yes` and `no` have the words of each answer and, where something follows from it, what to do: [words, then].
export function ask(title, words, [yes, onYes], [no, onNo = () => {}]) {
  byId("ask-title").textContent = title;
  byId("ask-words").textContent = words;
  for (const [id, answer, then] of [["ask-yes", yes, onYes], ["ask-no", no, onNo]]) {
    byId(id).textContent = answer;
    byId(id).onclick = () => {
      byId("ask").close();
      then();
    };
  }
  byId("ask").showModal();
}
