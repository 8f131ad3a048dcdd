// Searches names and summaries. INDEX is in index.js: [name, kind, target, summary] for each entry.
(function () {
  "use strict";
  var input = document.getElementById("search");
  var results = document.getElementById("results");
  var status = document.getElementById("found");
  if (!input || typeof INDEX === "undefined") { return; }
  var LIMIT = 40;

  function rank(entry, words) {
    var name = entry[0].toLowerCase(), all = name + " " + entry[1] + " " + entry[3].toLowerCase();
    var best = 0;
    for (var i = 0; i < words.length; i++) {
      if (all.indexOf(words[i]) < 0) { return -1; }
      if (name === words[i]) { best += 100; }
      else if (name.indexOf(words[i]) === 0) { best += 50; }
      else if (name.indexOf(words[i]) > 0) { best += 20; }
    }
    return best + (entry[1] === "type" ? 0 : 5) - name.length / 100;
  }

  function search() {
    var words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    results.textContent = "";
    status.textContent = "";
    if (!words.length) { return; }
    var found = [];
    for (var i = 0; i < INDEX.length; i++) {
      var value = rank(INDEX[i], words);
      if (value >= 0) { found.push([value, INDEX[i]]); }
    }
    found.sort(function (a, b) { return b[0] - a[0]; });
    status.textContent = found.length + " found";
    found.slice(0, LIMIT).forEach(function (pair) {
      var entry = pair[1];
      var item = document.createElement("li"), link = document.createElement("a");
      var more = document.createElement("span");
      link.href = entry[2];
      link.textContent = entry[0] + " ";
      more.textContent = entry[1] + ": " + entry[3];
      link.appendChild(more);
      item.appendChild(link);
      results.appendChild(item);
    });
  }

  input.addEventListener("input", search);
  input.form.addEventListener("submit", function (event) {
    event.preventDefault();
    var first = results.querySelector("a");
    if (first) { location.href = first.href; results.textContent = ""; }
  });
  results.addEventListener("click", function () { results.textContent = ""; });
  document.addEventListener("keydown", function (event) {
    var links = Array.prototype.slice.call(results.querySelectorAll("a"));
    var at = links.indexOf(document.activeElement);
    if (event.key === "/" && document.activeElement !== input) {
      event.preventDefault();
      input.focus();
    } else if (event.key === "Escape") {
      results.textContent = "";
      input.focus();
    } else if (event.key === "ArrowDown" && links.length) {
      event.preventDefault();
      links[Math.min(at + 1, links.length - 1)].focus();
    } else if (event.key === "ArrowUp" && at >= 0) {
      event.preventDefault();
      if (at === 0) { input.focus(); } else { links[at - 1].focus(); }
    }
  });
  if (input.value) { search(); }
})();
