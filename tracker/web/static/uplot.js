// uPlot, for charts.js: its small build, half of the bytes of its module, is a plain script.

const script = document.createElement("script");
script.src = new URL("../vendor/uPlot.iife.min.js", import.meta.url);
await new Promise((loaded, failed) => {
  script.onload = loaded;
  script.onerror = () => failed(new Error(`${script.src} cannot be loaded.`));
  document.head.append(script);
});

export default window.uPlot;
