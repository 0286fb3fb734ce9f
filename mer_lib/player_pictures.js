/* The pictures of the listening player: waveform and spectrogram on a canvas, drawn from the decoded samples. Notebook: 07 */
(function () {
  "use strict";
  const LEFT = 46, BOTTOM = 16, WIDTH = 840;       // canvas margins and width in canvas pixels
  const FFT = 1024, ROWS = 112, LOW = 50;          // window, rows, lowest frequency in Hz
  const RANGE_DB = 80;                             // colour range

  function fft(re, im) {
    const n = re.length;
    for (let i = 1, j = 0; i < n; i++) {
      let bit = n >> 1;
      for (; j & bit; bit >>= 1) j ^= bit;
      j ^= bit;
      if (i < j) { [re[i], re[j]] = [re[j], re[i]]; [im[i], im[j]] = [im[j], im[i]]; }
    }
    for (let size = 2; size <= n; size <<= 1) {
      const half = size >> 1, angle = -2 * Math.PI / size;
      for (let k = 0; k < half; k++) {
        const c = Math.cos(angle * k), s = Math.sin(angle * k);
        for (let i = k; i < n; i += size) {
          const l = i + half, tr = re[l] * c - im[l] * s, ti = re[l] * s + im[l] * c;
          re[l] = re[i] - tr; im[l] = im[i] - ti; re[i] += tr; im[i] += ti;
        }
      }
    }
  }

  const STOPS = [[0, 0, 4], [40, 11, 84], [101, 21, 110], [159, 42, 99], [212, 72, 66], [245, 125, 21], [250, 193, 39], [252, 255, 164]];
  function colour(t) {
    const p = Math.min(0.9999, Math.max(0, t)) * (STOPS.length - 1), i = Math.floor(p), f = p - i;
    return [0, 1, 2].map((k) => STOPS[i][k] * (1 - f) + STOPS[i + 1][k] * f);
  }

  const frequencyOf = (row, rate) => LOW * Math.pow(rate / 2 / LOW, row / ROWS);

  /* Level in dB of a full-scale sine per (column, row); rows are bands of equal width on a logarithmic frequency axis. */
  function levels(x, rate, columns) {
    const out = new Float32Array(columns * ROWS), re = new Float64Array(FFT), im = new Float64Array(FFT);
    const hann = Float64Array.from({ length: FFT }, (_, i) => 0.5 - 0.5 * Math.cos(2 * Math.PI * i / FFT));
    for (let c = 0; c < columns; c++) {
      const start = Math.floor((c + 0.5) / columns * x.length - FFT / 2);
      for (let i = 0; i < FFT; i++) { re[i] = (x[start + i] || 0) * hann[i]; im[i] = 0; }
      fft(re, im);
      for (let r = 0; r < ROWS; r++) {
        const a = Math.round(frequencyOf(r, rate) * FFT / rate), b = Math.round(frequencyOf(r + 1, rate) * FFT / rate);
        let power = 0;
        for (let k = Math.max(1, a); k <= Math.max(a, b - 1, 1); k++) power = Math.max(power, re[k] * re[k] + im[k] * im[k]);
        out[c * ROWS + r] = 20 * Math.log10(Math.sqrt(power) / (FFT / 4) + 1e-12);
      }
    }
    return out;
  }

  function surface(height) {
    const canvas = document.createElement("canvas");
    canvas.width = WIDTH; canvas.height = height;
    const pen = canvas.getContext("2d");
    pen.fillStyle = "#fff"; pen.fillRect(0, 0, WIDTH, height);
    pen.font = "11px sans-serif"; pen.fillStyle = "#333";
    return { canvas, pen };
  }

  function timeAxis(pen, duration, height) {
    const step = [0.5, 1, 2, 5, 10, 30, 60].find((s) => duration / s <= 12) || 120;
    pen.fillStyle = "#333"; pen.textAlign = "center"; pen.textBaseline = "bottom";
    for (let t = 0; t <= duration + 1e-6; t += step) {
      const x = LEFT + t / duration * (WIDTH - LEFT);
      pen.textAlign = t === 0 ? "left" : x > WIDTH - 12 ? "right" : "center";
      pen.fillText(t + (t === 0 ? " s" : ""), x, height);
    }
  }

  function label(pen, text) {
    pen.textAlign = "left"; pen.textBaseline = "top";
    const width = pen.measureText(text).width + 8;
    pen.fillStyle = "rgba(255,255,255,0.85)"; pen.fillRect(LEFT + 3, 3, width, 16);
    pen.fillStyle = "#222"; pen.fillText(text, LEFT + 7, 5);
  }

  function drawWave(signal) {
    const { canvas, pen } = surface(70), x = signal.data, top = signal.peak || 1, columns = WIDTH - LEFT;
    pen.fillStyle = "#0072B2";
    for (let c = 0; c < columns; c++) {
      let low = Infinity, high = -Infinity;
      for (let i = Math.floor(c / columns * x.length); i < Math.floor((c + 1) / columns * x.length); i++) {
        if (x[i] < low) low = x[i];
        if (x[i] > high) high = x[i];
      }
      if (high >= low) pen.fillRect(LEFT + c, 35 - high / top * 34, 1, Math.max(1, (high - low) / top * 34));
    }
    pen.fillStyle = "#333"; pen.textAlign = "right"; pen.textBaseline = "middle";
    pen.fillText(top >= 0.01 ? top.toFixed(2) : top.toExponential(0), LEFT - 4, 8);
    pen.fillText("0", LEFT - 4, 35);
    label(pen, signal.name + ": waveform, without gain, scaled to its peak of " + (signal.peakDb > -0.05 ? "0.0" : signal.peakDb.toFixed(1)) + " dBFS");
    return canvas;
  }

  function drawSpectrogram(signal, rate) {
    const height = 132, { canvas, pen } = surface(height + BOTTOM), columns = 420;
    const db = levels(signal.data, rate, columns);
    let top = -200;
    for (const v of db) if (v > top) top = v;
    const picture = new ImageData(columns, ROWS);
    for (let c = 0; c < columns; c++) for (let r = 0; r < ROWS; r++) {
      const rgb = colour((db[c * ROWS + r] - top) / RANGE_DB + 1), at = 4 * ((ROWS - 1 - r) * columns + c);
      picture.data.set([rgb[0], rgb[1], rgb[2], 255], at);
    }
    const small = document.createElement("canvas");
    small.width = columns; small.height = ROWS;
    small.getContext("2d").putImageData(picture, 0, 0);
    pen.drawImage(small, LEFT, 0, WIDTH - LEFT, height);
    pen.fillStyle = "#333"; pen.textAlign = "right"; pen.textBaseline = "middle";
    for (const f of [100, 300, 1000, 3000, 10000]) {
      if (f < rate / 2) pen.fillText(f < 1000 ? f + " Hz" : f / 1000 + " kHz", LEFT - 4, Math.max(7, height * (1 - Math.log(f / LOW) / Math.log(rate / 2 / LOW))));
    }
    timeAxis(pen, signal.data.length / rate, height + BOTTOM);
    label(pen, signal.name + ": spectrogram, " + RANGE_DB + " dB down from " + top.toFixed(0) + " dBFS, without gain");
    return canvas;
  }

  window.merPictures = { LEFT, WIDTH, drawWave, drawSpectrogram };
})();
