// Plays spans of one or two versions ("decks") in step: spans follow each other without a gap, and a span
// that was made anew takes over in the middle of the old one.
// The clock is the audio context's: position = from + (context time - started).

const FADE_S = 0.02;
const SWITCH_S = 0.01;
const LEAD_S = 0.03;

export class Player {
  #context = null;
  #decks = new Map();
  #started = 0;
  #from = 0;
  playing = false;
  active = "A";

  // The analyser hears what the listener hears.
  get context() {
    if (!this.#context) {
      this.#context = new AudioContext({ sampleRate: 44100, latencyHint: "interactive" });
      this.analyser = this.#context.createAnalyser();
      this.analyser.fftSize = 32768;
      this.analyser.smoothingTimeConstant = 0;
      this.analyser.connect(this.#context.destination);
    }
    return this.#context;
  }

  get position() {
    return this.playing ? Math.max(this.#from, this.#from + this.#context.currentTime - this.#started) : this.#from;
  }

  set position(seconds) {
    this.#from = seconds;
  }

  #deck(name) {
    if (!this.#decks.has(name)) {
      const output = this.context.createGain();
      output.gain.value = name === this.active ? 1 : 0;
      output.connect(this.analyser);
      this.#decks.set(name, { output, sources: [], level: 1, end: 0 });
    }
    return this.#decks.get(name);
  }

  // Until where a deck has sound.
  end(name) {
    return this.#decks.get(name)?.end ?? 0;
  }

  async start(at, spans) {
    await this.context.resume();
    this.#silence();
    this.#from = at;
    this.#started = this.#context.currentTime + LEAD_S;
    this.playing = true;
    for (const [name, span] of spans) this.#schedule(name, span, 0);
  }

  stop() {
    this.#from = this.position;
    this.playing = false;
    this.#silence();
  }

  // What follows the span before.
  append(name, span) {
    if (this.playing) this.#schedule(name, span, 0);
  }

  // A span in the place of what sounds now.
  replace(name, span) {
    if (!this.playing) return;
    const deck = this.#deck(name);
    for (const source of deck.sources) this.#end(source, FADE_S);
    deck.sources = [];
    this.#schedule(name, span, FADE_S);
  }

  #schedule(name, span, fade) {
    const context = this.#context;
    const deck = this.#deck(name);
    const length = span.frames / 44100;
    const begins = this.#started + span.start_s - this.#from;
    const now = context.currentTime;
    const offset = Math.max(0, now + 0.005 - begins);
    deck.end = span.start_s + length;
    if (offset >= length) return;
    const buffer = context.createBuffer(2, span.frames, 44100);
    span.channels.forEach((samples, channel) => buffer.copyToChannel(samples, channel));
    const source = context.createBufferSource();
    const gain = context.createGain();
    source.buffer = buffer;
    source.connect(gain).connect(deck.output);
    const when = begins + offset;
    if (fade) {
      gain.gain.setValueAtTime(0, when);
      gain.gain.linearRampToValueAtTime(1, when + fade);
    }
    source.start(when, offset);
    deck.sources.push({ source, gain });
    source.onended = () => {
      deck.sources = deck.sources.filter((each) => each.source !== source);
    };
  }

  #end({ source, gain }, fade) {
    const now = this.#context.currentTime;
    gain.gain.cancelScheduledValues(now);
    gain.gain.setValueAtTime(gain.gain.value, now);
    gain.gain.linearRampToValueAtTime(0, now + fade);
    source.stop(now + fade);
  }

  #silence() {
    for (const deck of this.#decks.values()) {
      for (const source of deck.sources) this.#end(source, SWITCH_S);
      deck.sources = [];
      deck.end = 0;
    }
  }

  // Which version is heard, and how much each is turned down to be as loud as the other.
  balance(active, levels) {
    this.active = active;
    if (!this.#context) return;
    const now = this.#context.currentTime;
    for (const [name, level] of levels) {
      const { gain } = this.#deck(name).output;
      gain.cancelScheduledValues(now);
      gain.setValueAtTime(gain.value, now);
      gain.linearRampToValueAtTime(name === active ? level : 0, now + SWITCH_S);
    }
  }
}
