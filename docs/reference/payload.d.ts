// The payload of a job, in the web app's keys. Made by `mindscript-worker schema --typescript`: do not edit.

/** A job: everything about one track. Every field may be left out; at least one layer is needed. */
export interface Job {
  /** What is spoken, with pauses such as [pause 3s]; up to MAX_SCRIPT_CHARACTERS, which is 5000. Default: "". */
  script?: string;
  /** Words and how the voice is to say them. At most 200 entries. */
  pronounce?: Record<string, string>;
  /** Who speaks. */
  voice?: VoiceChoice;
  /** Length of the track in minutes; up to MAX_DURATION_MIN, which is 480. At least 0.05. Default: 5. */
  durationMin?: number | null;
  /** From the end of a repetition to the start of the next, in seconds. From 0 to 600. Default: 5. */
  pauseSec?: number;
  /** Each pause is longer or shorter by up to this, in seconds. From 0 to 60. Default: 0. */
  pauseJitterSec?: number;
  /** Say the script again and again (true, repeat), at fixed times (interval), or once (false). Default: "repeat". */
  loopMode?: boolean | "once" | "repeat" | "interval";
  /** With interval: from the start of a repetition to the next start, in seconds. From 30 to 300. Default: 60. */
  intervalSec?: number;
  /** Before the first word, in seconds. From 0 to 300. Default: 3. */
  startDelaySec?: number | null;
  /** Music under the voice. */
  backgroundMusic?: BackgroundMusic | null;
  /** A steady tone, or several. */
  solfeggio?: Solfeggio | null;
  /** Two tones a beat apart. */
  binaural?: Binaural | null;
  /** A steady noise bed. Default: "none". */
  carrierType?: "pink" | "brown" | "white" | "none";
  /** Level of the noise in dB. From -60 to 0. Default: -24. */
  carrierGainDb?: number;
  /** Levels of these layers. */
  gains?: Gains;
  /** More layers of any kind, in the order of the mix; with those above at most 16. At most 16 items. Default: []. */
  layers?: (SpeechLayer | MusicLayer | RecordingLayer | ToneLayer | BinauralLayer | NoiseLayer)[];
  /** Lower the music while the voice speaks. */
  ducking?: Ducking | null;
  /** Fades of the whole track. */
  fade?: FadeTimes;
  /** Loudness and peaks of the finished file. */
  safety?: Safety;
  /** The delivered file. */
  output?: Output;
  /** For headphones, for speakers, or a track for each; also stems and further formats. At most 20 items. Default: ["headphones"]. */
  deliver?: ("headphones" | "speakers" | "stems" | "mp3" | "m4a" | "aac" | "wav" | "flac")[];
  /** A named course of beat, noise and fades. */
  session?: "fall-asleep" | "deep-rest" | "meditate" | "unwind" | "focus" | "power-nap" | null;
  /** The file's tags. */
  metadata?: Metadata;
  /** Chapter marks: as suits the script (true), for lines, for repetitions, or none (false). Default: "auto". */
  chapters?: boolean | "auto" | "lines" | "repetitions" | "none";
  /** Write files with each sentence and its time. Default: false. */
  lyrics?: boolean;
  /** Write the waveform for players, in audiowaveform's JSON. Default: false. */
  peaks?: boolean;
  /** Fixes noise, shuffle and jitter; made from the job where it is not stated. At least 0, less than 9223372036854775808. */
  seed?: number | null;
  /** The file's format. Default: "mp3". */
  outputFormat?: "mp3" | "m4a" | "aac" | "wav" | "flac";
}

/** Where the music is. */
export interface BackgroundMusic {
  /** A URL of this project's storage or an allowed host, or an object's name. At most 4000 characters. */
  url?: string | null;
  /** Its id or slug in the catalogue. At most 4000 characters. */
  id?: string | null;
  /** Its title, tried last, as an object's name. At most 4000 characters. */
  name?: string | null;
  /** How it goes on in a longer track. */
  loop?: MusicLoop;
}

/** Beat, carrier or both at one minute of the track. */
export interface BeatPoint {
  /** Later than the point before. From 0 to 1440. */
  atMin: number;
  /** The beat. From 0.1 to 100. */
  beatHz?: number | null;
  /** The middle of the two tones. From 50 to 1000. */
  carrierHz?: number | null;
}

/** Two tones a beat apart. */
export interface Binaural {
  /** A beat of 2, 6, 10, 20 or 40 Hz. */
  band?: "delta" | "theta" | "alpha" | "beta" | "gamma" | null;
  /** The beat; wins over the band. From 0.1 to 100. Default: 10. */
  beatHz?: number;
  /** The middle of the two tones. From 50 to 1000. Default: 200. */
  carrierHz?: number;
  /** A tone for each ear, both tones in both channels, or soft pulses. Default: "binaural". */
  mode?: "binaural" | "monaural" | "isochronic";
  /** What the track for speakers has in place of a binaural beat. Default: "isochronic". */
  speakersMode?: "monaural" | "isochronic";
  /** Beat and carrier over time, straight lines between points. At most 1000 items. Default: []. */
  timeline?: BeatPoint[];
  /** On if anything of the tone is given. */
  enabled?: boolean;
}

/** Two tones a beat apart. */
export interface BinauralLayer {
  /** Its name in reports and in duckedBy; its kind, with a number where that is taken. At most 60 characters. */
  name?: string;
  /** Its level over time, in place of gainDb. At most 1000 items. Default: []. */
  gain?: GainPoint[];
  /** Where it begins in the track, in seconds. From 0 to 86400. Default: 0. */
  startSec?: number;
  /** Where it ends, in seconds; the track's end where it is not stated. From 0 to 86400. */
  endSec?: number | null;
  /** From its beginning on. From 0 to 600000. Default: 0. */
  fadeInMs?: number;
  /** Up to its end. From 0 to 600000. Default: 0. */
  fadeOutMs?: number;
  /** When it sounds: spans of time, in order, each with the layer's fades; it goes on beneath. At most 100 items. Default: []. */
  when?: TimeSpan[];
  /** A beat of 2, 6, 10, 20 or 40 Hz. */
  band?: "delta" | "theta" | "alpha" | "beta" | "gamma" | null;
  /** The beat; wins over the band. From 0.1 to 100. Default: 10. */
  beatHz?: number;
  /** The middle of the two tones. From 50 to 1000. Default: 200. */
  carrierHz?: number;
  /** A tone for each ear, both tones in both channels, or soft pulses. Default: "binaural". */
  mode?: "binaural" | "monaural" | "isochronic";
  /** What the track for speakers has in place of a binaural beat. Default: "isochronic". */
  speakersMode?: "monaural" | "isochronic";
  /** Beat and carrier over time, straight lines between points. At most 1000 items. Default: []. */
  timeline?: BeatPoint[];
  /** What kind of layer it is. */
  kind: "binaural";
  /** Its level in dB: of recorded sound over the reference level, of tones as peak amplitude in dBFS. From -60 to 10. Default: -20. */
  gainDb?: number;
}

/** Music that is lowered while the voice speaks. */
export interface Ducking {
  /** On if another key of it is given. */
  enabled?: boolean;
  /** By how much. From 0 to 40. Default: 8. */
  depthDb?: number;
  /** How long the gain takes to fall. From 0 to 5000. Default: 300. */
  attackMs?: number;
  /** How long it stays low after the last sound. From 0 to 10000. Default: 600. */
  holdMs?: number;
  /** How long it takes to rise again. From 0 to 10000. Default: 1200. */
  releaseMs?: number;
}

/** Fades of the whole track. */
export interface FadeTimes {
  /** At the beginning. From 0 to 600000. Default: 1000. */
  inMs?: number;
  /** At the end. From 0 to 600000. Default: 1500. */
  outMs?: number;
}

/** A layer's gain at one minute of the track; straight lines in dB between points. */
export interface GainPoint {
  /** Later than the point before. From 0 to 1440. */
  atMin: number;
  /** The gain. From -60 to 10. */
  db: number;
}

/** Gains over time; where a layer has points they stand in for its steady gain. */
export interface GainTimeline {
  /** The voice. At most 1000 items. Default: []. */
  voice?: GainPoint[];
  /** The music. At most 1000 items. Default: []. */
  music?: GainPoint[];
  /** The Solfeggio tone. At most 1000 items. Default: []. */
  solfeggio?: GainPoint[];
  /** The binaural beat. At most 1000 items. Default: []. */
  binaural?: GainPoint[];
  /** The noise. At most 1000 items. Default: []. */
  noise?: GainPoint[];
}

/** Levels in dB: of voice and music over the reference level, of tones as peak amplitude in dBFS. */
export interface Gains {
  /** The voice. From -60 to 10. Default: -1. */
  voiceDb?: number;
  /** The music. From -60 to 10. Default: -10. */
  musicDb?: number;
  /** The Solfeggio tone. From -60 to 10. Default: -18. */
  solfeggioDb?: number;
  /** The binaural beat. From -60 to 10. Default: -20. */
  binauralDb?: number;
  /** normalized: voice and music are each brought to -16 LUFS first; source: as loud as their files. Default: "normalized". */
  reference?: "normalized" | "source";
  /** Gains over time, in place of the steady ones. */
  timeline?: GainTimeline;
}

/** Tags of the delivered file. */
export interface Metadata {
  /** The track's title. At most 500 characters. */
  title?: string | null;
  /** Who made it. At most 500 characters. */
  artist?: string | null;
  /** What it is part of. At most 500 characters. */
  album?: string | null;
  /** The cover picture: a URL or an object's name. At most 4000 characters. */
  cover?: string | null;
}

/** A piece of music. */
export interface MusicLayer {
  /** Its name in reports and in duckedBy; its kind, with a number where that is taken. At most 60 characters. */
  name?: string;
  /** Its level over time, in place of gainDb. At most 1000 items. Default: []. */
  gain?: GainPoint[];
  /** Where it begins in the track, in seconds. From 0 to 86400. Default: 0. */
  startSec?: number;
  /** Where it ends, in seconds; the track's end where it is not stated. From 0 to 86400. */
  endSec?: number | null;
  /** From its beginning on. From 0 to 600000. Default: 0. */
  fadeInMs?: number;
  /** Up to its end. From 0 to 600000. Default: 0. */
  fadeOutMs?: number;
  /** When it sounds: spans of time, in order, each with the layer's fades; it goes on beneath. At most 100 items. Default: []. */
  when?: TimeSpan[];
  /** Its place from -1 (left) to 1 (right), at constant power: a number, or points over time. From -1 to 1. Default: []. */
  pan?: number | PanPoint[];
  /** Names of voices that lower it while they speak, as `ducking` says. At most 16 items. Default: []. */
  duckedBy?: string[];
  /** How far its channels differ: 0 is mono, 1 as they are, 2 twice as far. From 0 to 2. Default: 1. */
  width?: number;
  /** What kind of layer it is. */
  kind: "music";
  /** Its level in dB: of recorded sound over the reference level, of tones as peak amplitude in dBFS. From -60 to 10. Default: -10. */
  gainDb?: number;
  /** A URL of this project's storage or an allowed host, or an object's name. At most 4000 characters. */
  url?: string | null;
  /** Its id or slug in the catalogue. At most 4000 characters. */
  id?: string | null;
  /** Its title, tried last, as an object's name. At most 4000 characters. */
  title?: string | null;
  /** How it goes on where it is shorter than its time: false plays it once. */
  loop?: MusicLoop;
}

/** Where music loops: where it does so best, as a whole, or from one second of it to another. */
export type MusicLoop = boolean | "auto" | "whole" | { from: number; to: number };

/** Steady noise. */
export interface NoiseLayer {
  /** Its name in reports and in duckedBy; its kind, with a number where that is taken. At most 60 characters. */
  name?: string;
  /** Its level over time, in place of gainDb. At most 1000 items. Default: []. */
  gain?: GainPoint[];
  /** Where it begins in the track, in seconds. From 0 to 86400. Default: 0. */
  startSec?: number;
  /** Where it ends, in seconds; the track's end where it is not stated. From 0 to 86400. */
  endSec?: number | null;
  /** From its beginning on. From 0 to 600000. Default: 0. */
  fadeInMs?: number;
  /** Up to its end. From 0 to 600000. Default: 0. */
  fadeOutMs?: number;
  /** When it sounds: spans of time, in order, each with the layer's fades; it goes on beneath. At most 100 items. Default: []. */
  when?: TimeSpan[];
  /** Its place from -1 (left) to 1 (right), at constant power: a number, or points over time. From -1 to 1. Default: []. */
  pan?: number | PanPoint[];
  /** Names of voices that lower it while they speak, as `ducking` says. At most 16 items. Default: []. */
  duckedBy?: string[];
  /** How far its channels differ: 0 is mono, 1 as they are, 2 twice as far. From 0 to 2. Default: 1. */
  width?: number;
  /** What kind of layer it is. */
  kind: "noise";
  /** Its level in dB: of recorded sound over the reference level, of tones as peak amplitude in dBFS. From -60 to 10. Default: -24. */
  gainDb?: number;
  /** Power per hertz falls by 3 (pink), 6 (brown) or 0 dB (white) per octave. Default: "pink". */
  colour?: "pink" | "brown" | "white";
}

/** The delivered file. */
export interface Output {
  /** The same as outputFormat. Default: "mp3". */
  format?: "mp3" | "m4a" | "aac" | "wav" | "flac";
  /** 128, 192 or 320 kbit/s. Default: "medium". */
  quality?: "low" | "medium" | "standard" | "high";
  /** false leaves the loudness as the gains make it. Default: true. */
  normalize?: boolean;
}

/** Where a layer is at one minute of the track; straight lines between points. */
export interface PanPoint {
  /** Later than the point before. From 0 to 1440. */
  atMin: number;
  /** From -1 (left) to 1 (right). From -1 to 1. */
  pan: number;
}

/** The customer's own recording, heard as it is. */
export interface RecordingLayer {
  /** Its name in reports and in duckedBy; its kind, with a number where that is taken. At most 60 characters. */
  name?: string;
  /** Its level over time, in place of gainDb. At most 1000 items. Default: []. */
  gain?: GainPoint[];
  /** Where it begins in the track, in seconds. From 0 to 86400. Default: 0. */
  startSec?: number;
  /** Where it ends, in seconds; the track's end where it is not stated. From 0 to 86400. */
  endSec?: number | null;
  /** From its beginning on. From 0 to 600000. Default: 0. */
  fadeInMs?: number;
  /** Up to its end. From 0 to 600000. Default: 0. */
  fadeOutMs?: number;
  /** When it sounds: spans of time, in order, each with the layer's fades; it goes on beneath. At most 100 items. Default: []. */
  when?: TimeSpan[];
  /** Its place from -1 (left) to 1 (right), at constant power: a number, or points over time. From -1 to 1. Default: []. */
  pan?: number | PanPoint[];
  /** Names of voices that lower it while they speak, as `ducking` says. At most 16 items. Default: []. */
  duckedBy?: string[];
  /** How far its channels differ: 0 is mono, 1 as they are, 2 twice as far. From 0 to 2. Default: 1. */
  width?: number;
  /** What kind of layer it is. */
  kind: "recording";
  /** Its level in dB: of recorded sound over the reference level, of tones as peak amplitude in dBFS. From -60 to 10. Default: -10. */
  gainDb?: number;
  /** The recording: a URL or an object's name. At most 4000 characters. */
  url?: string | null;
  /** How it goes on where it is shorter than its time: true loops it. */
  loop?: MusicLoop;
}

/** Loudness and peaks of the finished file. */
export interface Safety {
  /** Integrated loudness. From -30 to -6. Default: -16. */
  targetLufs?: number;
  /** balance: as near to the target as the limiter comes gently; exact: at any price. Default: "balance". */
  loudness?: "balance" | "exact";
  /** Of the whole track, or of it while the voice speaks. Default: "programme". */
  measure?: "programme" | "speech";
  /** Hold the true peak at or below the ceiling. Default: true. */
  limiter?: boolean;
}

/** One tone of a sequence. */
export interface SequenceTone {
  /** The tone. From 20 to 16000. */
  hz: number;
  /** For how long; without it, it shares what the others leave. From 0.05 to 1440. */
  minutes?: number | null;
}

/** One steady tone, or several one after another. */
export interface Solfeggio {
  /** On if a tone is given. */
  enabled?: boolean;
  /** The tone. */
  hz?: 174 | 285 | 396 | 417 | 528 | 639 | 741 | 852 | 963 | null;
  /** Its form. Default: "sine". */
  wave?: "sine" | "triangle" | "square";
  /** Tones one after another, in place of `hz`. At most 100 items. Default: []. */
  sequence?: (174 | 285 | 396 | 417 | 528 | 639 | 741 | 852 | 963 | SolfeggioTone)[];
  /** From tone to tone, in seconds. From 0 to 60. Default: 4. */
  crossfadeSec?: number;
}

/** One tone of a sequence. */
export interface SolfeggioTone {
  /** The tone. */
  hz: 174 | 285 | 396 | 417 | 528 | 639 | 741 | 852 | 963;
  /** For how long; without it, it shares what the others leave. From 0.05 to 1440. */
  minutes?: number | null;
}

/** A voice with its own script. */
export interface SpeechLayer {
  /** Its name in reports and in duckedBy; its kind, with a number where that is taken. At most 60 characters. */
  name?: string;
  /** Its level over time, in place of gainDb. At most 1000 items. Default: []. */
  gain?: GainPoint[];
  /** Before its first word, in seconds. From 0 to 86400. Default: 3. */
  startSec?: number;
  /** Where it ends, in seconds; the track's end where it is not stated. From 0 to 86400. */
  endSec?: number | null;
  /** From its beginning on. From 0 to 600000. Default: 0. */
  fadeInMs?: number;
  /** Up to its end. From 0 to 600000. Default: 0. */
  fadeOutMs?: number;
  /** Its place from -1 (left) to 1 (right), at constant power: a number, or points over time. From -1 to 1. Default: []. */
  pan?: number | PanPoint[];
  /** Names of voices that lower it while they speak, as `ducking` says. At most 16 items. Default: []. */
  duckedBy?: string[];
  /** What kind of layer it is. */
  kind: "speech";
  /** Its level in dB: of recorded sound over the reference level, of tones as peak amplitude in dBFS. From -60 to 10. Default: -1. */
  gainDb?: number;
  /** What it speaks; together with the other scripts up to MAX_SCRIPT_CHARACTERS. Default: "". */
  script?: string;
  /** Who speaks. */
  voice?: VoiceChoice;
  /** From the end of a repetition to the start of the next, in seconds. From 0 to 600. Default: 5. */
  pauseSec?: number;
  /** Each pause is longer or shorter by up to this, in seconds. From 0 to 60. Default: 0. */
  pauseJitterSec?: number;
  /** Say the script again and again (true, repeat), at fixed times (interval), or once (false). Default: "repeat". */
  loopMode?: boolean | "once" | "repeat" | "interval";
  /** With interval: from the start of a repetition to the next start, in seconds. From 30 to 300. Default: 60. */
  intervalSec?: number;
  /** Softer and with less bass: -13 dB and a high-pass of 200 Hz, unless stated otherwise. Default: false. */
  whisper?: boolean;
}

/** A span of time in which a layer sounds, at least 0.1 s long. */
export interface TimeSpan {
  /** Where it begins in the track, in seconds; not before the span before it has ended. From 0 to 86400. */
  startSec: number;
  /** Where it ends; it may be left out of the last one: then with its layer. From 0 to 86400. */
  endSec?: number | null;
}

/** A pure tone, or several one after another. */
export interface ToneLayer {
  /** Its name in reports and in duckedBy; its kind, with a number where that is taken. At most 60 characters. */
  name?: string;
  /** Its level over time, in place of gainDb. At most 1000 items. Default: []. */
  gain?: GainPoint[];
  /** Where it begins in the track, in seconds. From 0 to 86400. Default: 0. */
  startSec?: number;
  /** Where it ends, in seconds; the track's end where it is not stated. From 0 to 86400. */
  endSec?: number | null;
  /** From its beginning on. From 0 to 600000. Default: 0. */
  fadeInMs?: number;
  /** Up to its end. From 0 to 600000. Default: 0. */
  fadeOutMs?: number;
  /** When it sounds: spans of time, in order, each with the layer's fades; it goes on beneath. At most 100 items. Default: []. */
  when?: TimeSpan[];
  /** Its place from -1 (left) to 1 (right), at constant power: a number, or points over time. From -1 to 1. Default: []. */
  pan?: number | PanPoint[];
  /** What kind of layer it is. */
  kind: "tone";
  /** Its level in dB: of recorded sound over the reference level, of tones as peak amplitude in dBFS. From -60 to 10. Default: -18. */
  gainDb?: number;
  /** The tone. From 20 to 16000. */
  hz?: number | null;
  /** Its form. Default: "sine". */
  wave?: "sine" | "triangle" | "square";
  /** Tones one after another, in place of `hz`. At most 100 items. Default: []. */
  sequence?: (number | SequenceTone)[];
  /** From tone to tone, in seconds. From 0 to 60. Default: 4. */
  crossfadeSec?: number;
}

/** Who speaks. `tidy` and `care` are for recordings only. */
export interface VoiceChoice {
  /** Whose voice; uploaded plays the recording in `url`. Default: "openai". */
  provider?: "openai" | "openai-realtime" | "elevenlabs" | "uploaded" | "local";
  /** Which voice; the provider's own default where there is none. At most 500 characters. */
  id?: string | null;
  /** Which model of the provider. At most 500 characters. */
  model?: string | null;
  /** 1 is the voice's own pace. From 0.25 to 4. Default: 0.9. */
  speed?: number;
  /** The recording of an uploaded voice: a URL or an object's name. At most 4000 characters. */
  url?: string | null;
  /** How to speak, for models that take it. At most 500 characters. */
  instructions?: string | null;
  /** How ElevenLabs speaks. */
  settings?: VoiceSettings;
  /** From the second repetition on, sentences in another order each time. Default: false. */
  shuffle?: boolean;
  /** Take rumble out below this frequency. From 20 to 200. */
  highPassHz?: number | null;
  /** Fade ends that are cut in the middle of sound. Default: false. */
  declick?: boolean;
  /** What is corrected in a recording where it is wrong beyond doubt; true is all of it. At most 20 items. Default: ["dc", "channel", "polarity", "ends", "measure"]. */
  tidy?: boolean | ("dc" | "channel" | "polarity" | "ends" | "measure")[];
  /** gentle: leveller, de-esser and noise gate for a recording. Default: "none". */
  care?: "none" | "gentle";
  /** Which recording of the words: another number asks for a new one. From 1 to 99. Default: 1. */
  take?: number;
}

/** How ElevenLabs speaks; what is left out is the provider's own. */
export interface VoiceSettings {
  /** Less is livelier. From 0 to 1. */
  stability?: number | null;
  /** How near to the original voice. From 0 to 1. */
  similarity_boost?: number | null;
  /** How much of the voice's style. From 0 to 1. */
  style?: number | null;
  /** ElevenLabs' speaker boost. */
  use_speaker_boost?: boolean | null;
}
