"use strict";
(() => {
  const audio = document.querySelector("audio");
  const wave = document.getElementById("wave");
  const head = wave.querySelector(".head");
  const now = document.getElementById("now");
  const seconds = Number(wave.dataset.seconds);
  const heard = Number(wave.dataset.heard);
  const clock = (s) => {
    s = Math.floor(s);
    const tail = String(s % 60).padStart(2, "0");
    const minutes = Math.floor(s / 60);
    return minutes < 60 ? `${minutes}:${tail}` : `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")}:${tail}`;
  };
  const show = () => {
    const at = audio ? audio.currentTime : 0;
    head.setAttribute("x", String((1000 * at) / seconds));
    now.textContent = clock(at);
    wave.setAttribute("aria-valuenow", String(Math.floor(at)));
    wave.setAttribute("aria-valuetext", clock(at));
  };
  const seek = (to) => {
    if (!audio) return;
    audio.currentTime = Math.max(0, Math.min(to, heard - 0.05));
    show();
  };
  wave.addEventListener("click", (event) => {
    const box = wave.getBoundingClientRect();
    seek(((event.clientX - box.left) / box.width) * seconds);
  });
  wave.addEventListener("keydown", (event) => {
    if (!audio) return;
    const steps = { ArrowLeft: -5, ArrowRight: 5, ArrowDown: -5, ArrowUp: 5, PageDown: -60, PageUp: 60 };
    if (event.key in steps) seek(audio.currentTime + steps[event.key]);
    else if (event.key === "Home") seek(0);
    else if (event.key === "End") seek(heard);
    else if (event.key === " " || event.key === "Enter") audio.paused ? audio.play() : audio.pause();
    else return;
    event.preventDefault();
  });
  if (audio) {
    for (const name of ["timeupdate", "seeked", "loadedmetadata"]) audio.addEventListener(name, show);
    const follow = () => { show(); if (!audio.paused) requestAnimationFrame(follow); };
    audio.addEventListener("play", follow);
  }
  show();
})();
