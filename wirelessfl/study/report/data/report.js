"use strict";
// Draws the page's charts in the colours of the reader's screen; the data are in #charts.
(() => {
  const charts = JSON.parse(document.getElementById("charts").textContent);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const narrow = matchMedia("(max-width: 40rem)");
  const touch = matchMedia("(pointer: coarse)").matches;
  const config = {
    responsive: true,
    displaylogo: false,
    displayModeBar: false,
    scrollZoom: false,
  };

  // Black and light grey are of the palette, and would not be seen on a dark page.
  const recoloured = (figure) => {
    const text = JSON.stringify(figure);
    if (!dark.matches) return JSON.parse(text);
    return JSON.parse(
      text.replaceAll('"#000000"', '"#f0f0f0"').replaceAll('"#DDDDDD"', '"#555b62"').replaceAll("rgba(0,0,0,", "rgba(240,240,240,"),
    );
  };

  // Two names that lie beside one another on a desk lie above one another on a phone.
  const folds = ({ data }) =>
    narrow.matches && data.some((trace) => trace.orientation === "h" && trace.y.some((name) => name.length > 24));
  const folded = (data) => data.map((trace) => ({ ...trace, y: trace.y.map((name) => name.replace(" · ", "<br>")) }));

  const dressed = (figure) => {
    const { data: flat, layout } = recoloured(figure);
    const data = folds(figure) ? folded(flat) : flat;
    const ink = dark.matches ? "#c9d1d9" : "#3b424a";
    const grid = dark.matches ? "#2b3138" : "#e6e8eb";
    const axis = (own) => ({
      gridcolor: grid, zerolinecolor: grid, linecolor: grid, automargin: true, ticks: "",
      ...own, title: { ...own.title, standoff: 8, font: { size: 13 } },
    });
    return [data, {
      ...layout,
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { color: ink, size: narrow.matches ? 11 : 12, family: "system-ui, -apple-system, 'Segoe UI', Roboto, 'Liberation Sans', sans-serif" },
      margin: { l: 8, r: 8, t: 34, b: 8 },
      xaxis: axis(layout.xaxis),
      yaxis: axis(layout.yaxis),
      legend: { orientation: "h", x: 0, y: 1, xanchor: "left", yanchor: "bottom", traceorder: "normal" },
      hoverlabel: { bgcolor: dark.matches ? "#22272d" : "#ffffff", bordercolor: grid, font: { color: ink }, namelength: 40 },
      dragmode: touch ? false : "zoom",
      showlegend: data.length > 1,
    }];
  };

  const draw = (chart) => {
    const box = document.getElementById(`chart-${chart.id}`);
    const key = [...box.querySelectorAll("[data-value]")].map((e) => e.dataset.value).join("-");
    const plot = box.querySelector(".plot");
    const figure = chart.figures[key];
    box.querySelector(".caption").textContent = figure.caption ?? "";
    plot.style.height = `${(figure.height ?? chart.height) * (folds(figure) ? 1.3 : 1)}px`;
    return Plotly.react(plot, ...dressed(figure), config);
  };

  // A few short options become buttons; many or long ones stay a list.
  const choices = (chart) => {
    for (const select of document.querySelectorAll(`#chart-${chart.id} select`)) {
      const options = [...select.options].map((o) => o.textContent);
      const label = select.parentElement;
      label.dataset.value = "0";
      const choose = (index) => { label.dataset.value = String(index); draw(chart); };
      if (options.length > 5 || options.join("").length > 45) {
        select.addEventListener("change", () => choose(select.value));
        continue;
      }
      const box = document.createElement("span");
      box.className = "buttons";
      options.forEach((name, index) => {
        const button = document.createElement("button");
        button.type = "button";
        button.textContent = name;
        button.setAttribute("aria-pressed", String(index === 0));
        button.addEventListener("click", () => {
          for (const other of box.children) other.setAttribute("aria-pressed", String(other === button));
          choose(index);
        });
        box.append(button);
      });
      select.replaceWith(box);
    }
  };

  charts.forEach(choices);
  const all = () => Promise.all(charts.map(draw));
  for (const change of [dark, narrow]) change.addEventListener("change", all);
  all().then(() => { document.documentElement.dataset.drawn = String(charts.length); });
})();
