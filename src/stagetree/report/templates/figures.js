"use strict";
(() => {
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const themed = (layout) => ({
    ...layout,
    autosize: true,
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { ...(layout.font || {}), color: css("--ink-2") },
  });
  const options = { responsive: true, displaylogo: false, showSendToCloud: false, showEditInChartStudio: false };
  const render = (place) => {
    if (place.dataset.drawn) return;
    place.dataset.drawn = "yes";
    const figure = JSON.parse(document.getElementById(place.dataset.figure).textContent);
    try {
      Plotly.newPlot(place, figure.data, themed(figure.layout || {}), options);
    } catch (error) {
      place.textContent = `This chart could not be drawn: ${error.message}`;
    }
  };
  const places = [...document.querySelectorAll(".plot")];
  const watcher = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      watcher.unobserve(entry.target);
      render(entry.target);
    }
  }, { rootMargin: "400px 0px" });
  for (const place of places) watcher.observe(place);
  const PAPER = 690;
  addEventListener("beforeprint", () => {
    for (const place of places) {
      render(place);
      if (place.layout) Plotly.relayout(place, { width: PAPER });
    }
  });
  addEventListener("afterprint", () => {
    for (const place of places) {
      if (place.layout) Plotly.relayout(place, { width: null, autosize: true });
    }
  });
  dark.addEventListener("change", () => {
    for (const place of places) {
      if (place.dataset.drawn) Plotly.relayout(place, { "font.color": css("--ink-2") });
    }
  });
})();
