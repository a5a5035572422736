// The page is served below /chat, where Chainlit does not write a conversation's address into the bar.
// The server says which one it is, and F5 then finds it again.
(() => {
  const root = "/chat";
  window.addEventListener("message", (event) => {
    if (event.source !== window || event.origin !== window.location.origin) return;
    const told = event.data;
    if (!told || told.type !== "factory-thread" || !/^[0-9a-zA-Z-]{1,64}$/.test(told.thread)) return;
    const here = window.location.pathname.replace(/\/$/, "");
    if (here !== root) return;
    window.history.replaceState(window.history.state, "", `${root}/thread/${told.thread}`);
  });
})();
