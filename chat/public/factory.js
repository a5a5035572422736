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

// Buttons of the page that show a picture and say nothing to a screen reader.
(() => {
  const names = {
    "upload-button": "Attach a file",
    "chat-submit": "Send the message",
    "stop-button": "Stop",
    "sidebar-trigger-button": "Show or hide the conversations",
    "new-chat-button": "New conversation",
    "theme-toggle": "Light or dark",
    "user-nav-button": "Your account",
    "readme-button": "Help",
    "command-button": "Commands",
    "search-chats-button": "Search the conversations",
    "thread-options": "More about this conversation"
  };
  const pictures = {
    "lucide-copy": "Copy",
    "lucide-check": "Copied",
    "lucide-thumbs-up": "Helpful",
    "lucide-thumbs-down": "Not helpful",
    "lucide-arrow-down": "Down to the newest",
    "lucide-eye": "Show",
    "lucide-x": "Close"
  };
  const shown = (button) =>
    Object.entries(pictures).find(([picture]) => button.querySelector(`svg.${picture}`))?.[1];
  const say = () => {
    for (const button of document.querySelectorAll("button:not([aria-label])")) {
      const name = names[button.id] || shown(button);
      if (name && !button.textContent.trim()) button.setAttribute("aria-label", name);
    }
  };
  const start = () => {
    say();
    new MutationObserver(say).observe(document.body, { childList: true, subtree: true });
  };
  if (document.body) start();
  else document.addEventListener("DOMContentLoaded", start);
})();
