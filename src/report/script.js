document.documentElement.classList.add("js");
document.querySelectorAll(".slices").forEach(function (box) {
  var film = box.querySelector(".film"), range = box.querySelector("input"), out = box.querySelector("output");
  var z = film.getAttribute("data-z").split(" ");
  function show() {
    film.style.setProperty("--i", range.value);
    out.textContent = "z = " + z[range.value];
  }
  range.addEventListener("input", show);
  show();
});
document.addEventListener("keydown", function (e) {
  var id = { r: "show-ref", p: "show-pred" }[e.key];
  var box = id ? document.getElementById(id) : null;
  if (box) { if (!(e.ctrlKey || e.metaKey || e.altKey)) { box.checked = !box.checked; } }
});
