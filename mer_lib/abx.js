/* The blind test: X is A or B, drawn anew for every trial; the answers stay in the page until they are downloaded. It plays
   through the Deck of player.js, so that A, B and X run together and are switched in place. Notebook: 07 */
(function () {
  "use strict";
  const { Deck, element, button, read } = window.merListening;

  const coin = () => crypto.getRandomValues(new Uint8Array(1))[0] & 1;

  function shuffled(items) {
    for (let i = items.length - 1; i > 0; i--) {
      const j = Math.floor(crypto.getRandomValues(new Uint32Array(1))[0] / 2 ** 32 * (i + 1));
      [items[i], items[j]] = [items[j], items[i]];
    }
    return items;
  }

  /* Chance of at least so many right answers by guessing: the exact upper tail of the binomial with p = 1/2. */
  function pValue(correct, trials) {
    let ways = 1, sum = 0;
    for (let k = 0; k <= trials; k++) {
      if (k >= correct) sum += ways;
      ways = ways * (trials - k) / (k + 1);
    }
    return sum / 2 ** trials;
  }

  /* A spreadsheet takes a cell that begins so for a formula and would compute a clip's name. */
  const harmless = (text) => (/^[=+\-@\t\r]/.test(text) ? "'" : "") + text;
  const quoted = (text) => '"' + harmless(String(text)).replace(/"/g, '""') + '"';
  const csv = (rows) => "trial,clip,x,answer,correct\n"
    + rows.map((r) => [r.trial, quoted(r.clip), r.x, r.answer, Number(r.correct)].join(",")).join("\n") + "\n";

  function run(root, clips, rate) {
    const count = Number(root.dataset.trials), screen = element("div"), rows = [];
    root.append(screen);
    let deck = null, order = [];

    function finish() {
      const right = rows.filter((r) => r.correct).length, p = pValue(right, rows.length);
      const said = element("div", "mer-result", right + " of " + rows.length + " right; by guessing alone at least so many with probability p = "
        + (p < 0.001 ? p.toExponential(1) : p.toFixed(3)) + " (exact, one-sided).");
      const link = element("a", "", "download the answers (CSV)");
      link.href = URL.createObjectURL(new Blob([csv(rows)], { type: "text/csv" }));
      link.download = "abx.csv";
      screen.replaceChildren(said, link);
      const row = element("div", "mer-row");
      button(row, "again", start);
      screen.append(row);
      Object.assign(root.merAbx, { finished: true, right, p, csv: csv(rows) });
    }

    function trial() {
      if (deck) deck.pause();
      if (rows.length === count) return finish();
      if (!order.length) order = shuffled(clips.map((_, i) => i));
      const clip = clips[order.pop()], x = coin() ? "B" : "A";
      deck = new Deck(rate);
      deck.add("A (clean)", clip.a, null);
      deck.add("B (attacked)", clip.b, null);
      deck.add("X", x === "A" ? clip.a : clip.b, null);
      deck.chosen = 2;
      const line = element("div", "", "Trial " + (rows.length + 1) + " of " + count + ": " + clip.name);
      const top = element("div", "mer-row"), bottom = element("div", "mer-row");
      const play = button(top, "", () => deck.toggle());
      const choices = deck.signals.map((signal, i) => button(top, signal.name, () => deck.choose(i)));
      const answer = (said) => {
        rows.push({ trial: rows.length + 1, clip: clip.name, x, answer: said, correct: said === x });
        trial();
      };
      const answers = ["A", "B"].map((said) => button(bottom, "X is " + said, () => answer(said)));
      deck.changed = () => {
        play.textContent = deck.playing ? "\u275a\u275a pause" : "\u25b6 play";
        choices.forEach((node, i) => node.setAttribute("aria-pressed", i === deck.chosen));
      };
      deck.changed();
      screen.replaceChildren(line, top, bottom, element("div", "mer-note", "keys (click the test first): space play or pause \u00b7 a b x choose; "
        + "the recording repeats; nothing says whether you were right before the end"));
      Object.assign(root.merAbx, { deck, x, answers, rows, finished: false });
    }

    function start() { rows.length = 0; trial(); }
    root.merAbx = { pValue };
    root.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || !deck || root.merAbx.finished) return;
      const i = ["a", "b", "x"].indexOf(event.key.toLowerCase());
      if (event.key === " ") deck.toggle();
      else if (i >= 0) deck.choose(i);
      else return;
      event.preventDefault(); event.stopPropagation();
    });
    const row = element("div", "mer-row");
    button(row, "start the blind test", start);
    screen.append(element("div", "", count + " trials over " + clips.length + (clips.length > 1 ? " clips" : " clip") + ": is X the clean A or the attacked B?"), row);
  }

  async function mount(root) {
    root.dataset.mounted = "yes";
    try {
      const { rate, elements } = await read(root);
      root.querySelector(".mer-plain").remove();
      run(root, elements.map(([a, b]) => ({ name: a.name, a: a.buffer, b: b.buffer })), rate);
      root.dataset.ready = "yes";
    } catch (error) {
      root.append(element("div", "mer-error", "This browser could not set up the blind test (" + error + ")."));
    }
  }

  document.querySelectorAll(".mer-abx:not([data-mounted])").forEach(mount);
})();
