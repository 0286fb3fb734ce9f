/* The static listening player: plain JavaScript and Web Audio, nothing from the web. listening.py puts this file into the
   page with every player, so that each output stands alone; what players share is in window.merListeningShared. Notebook: 07 */
(function () {
  "use strict";
  const VERSION = "@VERSION@";
  const { LEFT, WIDTH, drawWave, drawSpectrogram } = window.merPictures;
  const FADE = 0.006, LEAD = 0.04;                 // seconds of cross-fade; seconds before a start
  const shared = window.merListeningShared = window.merListeningShared || { contexts: {}, playing: null };

  const element = (tag, cls, text) => {
    const node = document.createElement(tag);
    if (cls) node.className = cls;
    if (text !== undefined) node.textContent = text;
    return node;
  };
  const signed = (db) => (db > 0 ? "+" : db < 0 ? "\u2212" : "") + Math.abs(db).toFixed(0) + " dB";
  const gain = (db) => Math.pow(10, db / 20);
  const peak = (x) => { let p = 0; for (const v of x) { const a = Math.abs(v); if (a > p) p = a; } return p; };

  /* One context per sample rate for the whole page. At the signals' own rate nothing is resampled inside the graph, where
     browsers interpolate linearly and would add images of the music to a faint perturbation. */
  function context(rate) {
    if (!shared.contexts[rate]) {
      try { shared.contexts[rate] = new AudioContext({ sampleRate: rate }); }
      catch (error) { shared.contexts[rate] = new AudioContext(); }
    }
    return shared.contexts[rate];
  }

  /* The signals of one audio element: its channels, each as a buffer of its own. */
  async function decode(tag, rate) {
    const source = tag.getAttribute("src"), text = atob(source.slice(source.indexOf(",") + 1));
    const bytes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
    const decoded = await new OfflineAudioContext(1, 1, rate).decodeAudioData(bytes.buffer), length = decoded.length;
    return Array.from({ length: decoded.numberOfChannels }, (_, channel) => {
      const buffer = new AudioBuffer({ length, sampleRate: rate }), gain = tag.getAttribute("data-gain-" + channel);
      buffer.copyToChannel(decoded.getChannelData(channel), 0);
      return { name: tag.getAttribute("data-name-" + channel), buffer, gain: gain === null ? null : Number(gain) };
    });
  }

  function subtract(a, b, rate) {
    const length = Math.min(a.length, b.length), result = new AudioBuffer({ length, sampleRate: rate });
    const out = result.getChannelData(0), x = a.getChannelData(0), y = b.getChannelData(0);
    for (let i = 0; i < length; i++) out[i] = x[i] - y[i];
    return result;
  }

  /* Signals that start together and are switched in place: every signal always runs, its gain is 0 or its level. */
  class Deck {
    constructor(rate) {
      this.rate = rate; this.signals = []; this.sources = []; this.chosen = 0; this.offset = 0; this.started = 0;
      this.volume = 0; this.loop = null; this.repeat = true; this.playing = false; this.changed = () => {};
    }
    add(name, buffer, gainDb) {
      const data = buffer.getChannelData(0), top = peak(data), peakDb = 20 * Math.log10(top + 1e-12);
      const headroom = Math.max(0, Math.floor(-peakDb));          // a gain above it would clip
      this.signals.push({ name, buffer, data, peak: top, peakDb, headroom, gainDb: Math.min(gainDb || 0, headroom), fixed: gainDb === null });
      this.duration = Math.max(this.duration || 0, buffer.duration);
    }
    region() { return this.loop || (this.repeat ? [0, this.duration] : null); }
    position() {
      if (!this.playing) return this.offset;
      const time = this.offset + Math.max(0, this.context.currentTime - this.started), region = this.region();
      if (!region || time < region[1]) return Math.min(time, this.duration);
      return region[0] + (time - region[0]) % (region[1] - region[0]);
    }
    level(i) { return i === this.chosen ? gain(this.signals[i].gainDb + this.volume) : 0; }
    async play() {
      if (this.playing) return;
      if (shared.playing) shared.playing.pause();
      shared.playing = this;
      this.context = context(this.rate);
      if (this.context.state !== "running") await this.context.resume();
      if (shared.playing !== this || this.playing) return;      // another player was started while this one waited
      const region = this.region();
      if (region && (this.offset < region[0] || this.offset >= region[1] - 0.005)) this.offset = region[0];
      if (this.offset >= this.duration - 0.005) this.offset = 0;
      this.started = this.context.currentTime + LEAD;
      this.sources = this.signals.map((signal, i) => {
        const source = this.context.createBufferSource(), volume = this.context.createGain();
        source.buffer = signal.buffer;
        if (region) { source.loop = true; source.loopStart = region[0]; source.loopEnd = region[1]; }
        volume.gain.value = this.level(i);
        source.connect(volume).connect(this.context.destination);
        source.start(this.started, this.offset);
        return { source, volume };
      });
      this.playing = true;
      this.sources[0].source.onended = () => { if (this.playing) { this.halt(); this.offset = 0; this.changed(); } };
      this.changed();
    }
    halt() {
      this.sources.forEach(({ source, volume }) => { source.onended = null; source.stop(); volume.disconnect(); });
      this.sources = []; this.playing = false;
      if (shared.playing === this) shared.playing = null;
    }
    pause() { if (this.playing) { this.offset = this.position(); this.halt(); this.changed(); } }
    toggle() { return this.playing ? this.pause() : this.play(); }
    levelled() {
      if (!this.playing) return;
      const now = this.context.currentTime;
      this.sources.forEach(({ volume }, i) => {
        volume.gain.cancelScheduledValues(now);
        volume.gain.setValueAtTime(volume.gain.value, now);
        volume.gain.linearRampToValueAtTime(this.level(i), now + FADE);
      });
    }
    choose(i) { if (i >= 0 && i < this.signals.length) { this.chosen = i; this.levelled(); this.changed(); } }
    restart(change) { const playing = this.playing; this.pause(); change(); this.changed(); if (playing) this.play(); }
    seek(time) { this.restart(() => { this.offset = Math.min(this.duration, Math.max(0, time)); }); }
    setLoop(loop) { this.restart(() => { this.loop = loop && loop[1] - loop[0] >= 0.05 ? loop : null; }); }
    setRepeat(on) { this.restart(() => { this.repeat = on; }); }
    setGain(i, db) { this.signals[i].gainDb = Math.min(db, this.signals[i].headroom); this.levelled(); this.changed(); }
    setVolume(db) { this.volume = db; this.levelled(); this.changed(); }
  }

  async function read(root) {
    const rate = Number(root.dataset.rate);
    return { rate, elements: await Promise.all([...root.querySelectorAll("audio")].map((tag) => decode(tag, rate))) };
  }

  function button(row, text, act) {
    const node = element("button", "", text);
    node.type = "button"; node.addEventListener("click", act); row.append(node);
    return node;
  }

  function slider(row, text, low, high, value, act) {
    const line = element("label", "", text), node = element("input"), shown = element("span", "mer-note");
    Object.assign(node, { type: "range", min: low, max: high, step: 1, value });
    node.addEventListener("input", () => act(Number(node.value)));
    line.append(node, shown); row.append(line);
    return { node, shown };
  }

  /* Drag to loop, click to seek, on the pictures. */
  function pointing(views, deck) {
    let from = null;
    const time = (event) => {
      const box = views.getBoundingClientRect(), left = box.width * LEFT / WIDTH;
      return Math.min(1, Math.max(0, (event.clientX - box.left - left) / (box.width - left))) * deck.duration;
    };
    views.addEventListener("pointerdown", (event) => { from = time(event); views.setPointerCapture(event.pointerId); });
    views.addEventListener("pointerup", (event) => {
      if (from === null) return;
      const to = time(event), pair = [Math.min(from, to), Math.max(from, to)];
      from = null;
      if (pair[1] - pair[0] < 0.08) deck.seek(to); else deck.setLoop(pair);
    });
    views.addEventListener("pointercancel", () => { from = null; });
  }

  const place = (time, duration) => (LEFT + time / duration * (WIDTH - LEFT)) / WIDTH * 100 + "%";

  function show(root, deck, difference) {
    const screen = element("div"), row = element("div", "mer-row"), views = element("div", "mer-views");
    const knobs = element("div", "mer-row"), head = element("div", "mer-head"), loop = element("div", "mer-loop");
    const play = button(row, "\u25b6 play", () => deck.toggle());
    const choices = deck.signals.map((_, i) => button(row, "", () => deck.choose(i)));
    const clock = element("span", "mer-time");
    row.append(clock);
    const again = element("label", "", ""), box = element("input");
    box.type = "checkbox"; box.checked = deck.repeat; box.addEventListener("change", () => deck.setRepeat(box.checked));
    again.append(box, "repeat"); row.append(again);
    const clear = button(row, "clear loop", () => deck.setLoop(null));
    const slot = element("div");
    views.append(slot);
    if (difference >= 0) views.append(drawSpectrogram(deck.signals[difference], deck.rate));
    views.append(loop, head);
    pointing(views, deck);
    const volume = slider(knobs, "volume of all", -40, 0, 0, (db) => deck.setVolume(db));
    const gains = deck.signals.map((signal, i) => signal.fixed ? null
      : slider(knobs, "gain of " + signal.name, 0, Math.min(80, signal.headroom), signal.gainDb, (db) => deck.setGain(i, db)));
    const note = element("div", "mer-note", "keys (click the player first): space play or pause \u00b7 "
      + (deck.signals.length > 1 ? "1\u2013" + deck.signals.length + " choose \u00b7 " : "") + "\u2190 \u2192 one second \u00b7 [ ] loop from / to here \u00b7 L clear loop \u00b7 \u2191 \u2193 gain; drag on a picture to loop, click to jump");
    screen.append(row, views, knobs, note);
    root.append(screen);

    const pictures = new Map();
    let shown = -1, above = 0;
    function picture(draw, i) {
      const key = draw.name + i;
      if (!pictures.has(key)) pictures.set(key, draw(deck.signals[i], deck.rate));
      return pictures.get(key);
    }
    function tick() {
      const now = deck.position();
      head.style.left = place(now, deck.duration);
      clock.textContent = now.toFixed(2) + " / " + deck.duration.toFixed(2) + " s";
      if (deck.playing && root.isConnected) requestAnimationFrame(tick);
      else if (deck.playing) deck.pause();                       // the output was removed from the page
    }
    deck.changed = () => {
      play.textContent = deck.playing ? "\u275a\u275a pause" : "\u25b6 play";
      deck.signals.forEach((signal, i) => {
        choices[i].textContent = (i + 1) + " " + signal.name + (signal.gainDb ? " (" + signed(signal.gainDb) + ")" : "");
        choices[i].setAttribute("aria-pressed", i === deck.chosen);
        if (gains[i]) {
          gains[i].node.value = signal.gainDb;
          gains[i].shown.textContent = signed(signal.gainDb) + (signal.gainDb === signal.headroom ? ", more would clip" : "");
        }
      });
      volume.shown.textContent = signed(deck.volume);
      clear.disabled = !deck.loop;
      loop.style.display = deck.loop ? "" : "none";
      if (deck.loop) { loop.style.left = place(deck.loop[0], deck.duration); loop.style.width = (deck.loop[1] - deck.loop[0]) / deck.duration * (1 - LEFT / WIDTH) * 100 + "%"; }
      if (shown !== deck.chosen) {
        shown = deck.chosen;
        // the difference's spectrogram stands below all the time: while it plays, the one above stays that of the signal before
        if (shown !== difference) above = shown;
        slot.replaceChildren(picture(drawWave, shown), picture(drawSpectrogram, above));
      }
      tick();
    };
    deck.changed();

    root.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || (event.target.type === "range" && event.key.startsWith("Arrow"))) return;
      const now = deck.position(), region = deck.loop, step = { ArrowUp: 3, ArrowDown: -3 }[event.key];
      if (event.key === " ") deck.toggle();
      else if (/^[1-9]$/.test(event.key)) deck.choose(Number(event.key) - 1);
      else if (event.key === "ArrowLeft") deck.seek(now - 1);
      else if (event.key === "ArrowRight") deck.seek(now + 1);
      else if (event.key === "[") deck.setLoop([now, region && region[1] > now ? region[1] : deck.duration]);
      else if (event.key === "]") deck.setLoop([region && region[0] < now ? region[0] : 0, now]);
      else if (event.key === "l" || event.key === "L") deck.setLoop(null);
      else if (step && gains[deck.chosen]) deck.setGain(deck.chosen, Math.max(0, deck.signals[deck.chosen].gainDb + step));
      else return;
      event.preventDefault(); event.stopPropagation();
    });
  }

  async function mount(root) {
    root.dataset.mounted = VERSION;
    try {
      const { rate, elements } = await read(root), deck = new Deck(rate), signals = elements.flat();
      signals.forEach((signal) => deck.add(signal.name, signal.buffer, signal.gain));
      let difference = -1;
      if (root.dataset.minuend !== undefined) {
        const a = Number(root.dataset.minuend), b = Number(root.dataset.subtrahend);
        deck.add(root.dataset.difference, subtract(signals[a].buffer, signals[b].buffer, rate), Number(root.dataset.differenceGain));
        difference = deck.signals.length - 1;
      }
      root.merDeck = deck;
      root.querySelector(".mer-plain").remove();
      show(root, deck, difference);
      root.dataset.ready = "yes";
    } catch (error) {
      root.append(element("div", "mer-error", "This browser could not set up the player (" + error + "). The plain players above still work."));
    }
  }

  window.merListening = { Deck, decode, element, button, read, mount };
  document.querySelectorAll(".mer-player:not([data-mounted]):not(.mer-abx)").forEach(mount);
})();
