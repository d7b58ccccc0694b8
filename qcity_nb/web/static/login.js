// Signing in with what stands behind the # of a link: it is taken out of the address at once, and sent to nobody but our own server.

const token = location.hash.slice(1), said = document.getElementById("said");

if (token) {
  history.replaceState(null, "", location.pathname);
  const answer = await fetch("login", { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ token }) }).catch(() => null);
  if (answer?.ok) location.replace("./");
  else {
    said.textContent = answer ? (await answer.json()).error : "The server did not answer. Try the link again.";
    said.hidden = false;
  }
} else if ((await fetch("session").catch(() => null))?.ok) location.replace("./"); // whoever comes from another site brings no cookie at first
