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

// The page's script is big. What it asks for first is asked while the browser still reads it, and handed over then.
const factoryEarly = (() => {
  const root = "/chat";
  const name = (address) => {
    const url = new URL(address, window.location.href);
    const asked = [...url.searchParams].filter(([key]) => key).map((pair) => pair.join("="));
    return [url.origin, url.pathname, ...asked.sort()].join(" ");
  };
  const language = navigator.language || "en-US";
  const under = window.location.pathname.startsWith(`${root}/login`)
    ? []
    : ["auth/config", "user", `project/translations?language=${language}`, `project/settings?language=${language}`,
       `project/settings?language=${language}&chat_profile=Factory`];
  const how = { credentials: "include", headers: { "Content-Type": "application/json" } };
  const asked = new Map(
    under.map((path) => [name(`${root}/${path}`), window.fetch(`${root}/${path}`, how).catch(() => null)])
  );
  setTimeout(() => asked.clear(), 10000); // later it is no news any more
  return async (address, method) => {
    const key = name(address);
    if (!asked.has(key) || (method && method !== "GET")) return null;
    const answer = asked.get(key);
    asked.delete(key);
    return answer;
  };
})();

// One connection instead of a few requests before it. Where none of its kind comes through, though the server is
// there, the page goes back to requests.
(() => {
  const kept = "factory-requests";
  if (window.sessionStorage.getItem(kept)) return;
  window.transports = ["websocket"];
  const Native = window.WebSocket;
  let opened = false;
  let failed = 0;
  const fail = async () => {
    failed += 1;
    if (opened || failed < 3) return;
    const answer = await window.fetch("/chat/user", { credentials: "include" }).catch(() => null);
    if (opened || !answer || !answer.ok) return;
    window.sessionStorage.setItem(kept, "yes");
    window.location.reload();
  };
  window.WebSocket = class extends Native {
    constructor(...how) {
      super(...how);
      this.addEventListener("open", () => (opened = true));
      this.addEventListener("error", fail);
    }
  };
})();

// A server that is away for a moment has signed nobody out. The page asks who is signed in whenever its socket
// fails, and takes no answer for "nobody": it would leave the conversation for the way in. So that question waits
// until there is an answer. Who has to sign in again comes back to the conversation they were in.
(() => {
  const root = "/chat";
  const kept = "factory-return";
  const thread = /^\/chat\/thread\/[0-9a-zA-Z-]{1,64}\/?$/;
  const ask = window.fetch.bind(window);
  const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
  const store = window.sessionStorage;
  let leaving = false;
  let asking = null;
  let turn = Promise.resolve();

  const persist = async (wanted, how) => {
    for (let wait = 250; ; wait = Math.min(wait * 2, 2000)) {
      try {
        const answer = (await factoryEarly(wanted, how?.method)) || (await ask(wanted, how));
        if (answer.status < 500) return answer;
      } catch (error) {
        if (error.name === "AbortError") throw error;
      }
      await pause(wait);
    }
  };
  const comeBack = (answer) => {
    const here = window.location.pathname;
    if (answer.status === 401 && thread.test(here) && !leaving) store.setItem(kept, here);
    const before = store.getItem(kept);
    if (!answer.ok || !before) return;
    store.removeItem(kept);
    const at = here.replace(/\/$/, "");
    if (thread.test(before) && (at === root || at === `${root}/login`)) window.location.replace(before);
  };

  window.fetch = async (wanted, how) => {
    const url = new URL(wanted instanceof Request ? wanted.url : wanted, window.location.href);
    if (url.origin !== window.location.origin) return ask(wanted, how);
    if (url.pathname === `${root}/logout`) {
      leaving = true;
      store.removeItem(kept);
    }
    if (url.pathname === `${root}/set-session-cookie`) {
      // The page may begin to connect twice, with two sessions, and keeps the connection whose question was answered
      // last. Answered in another order than asked, it would talk with the session that it has forgotten.
      const mine = turn.then(() => ask(wanted, how));
      turn = mine.catch(() => null);
      return mine;
    }
    if (url.pathname !== `${root}/user`) return (await factoryEarly(url, how?.method)) || ask(wanted, how);
    asking ??= persist(wanted, how).finally(() => (asking = null));
    const answer = (await asking).clone();
    comeBack(answer);
    return answer;
  };
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
  let due = false;
  const soon = () => {
    if (due) return;
    due = true;
    requestAnimationFrame(() => {
      due = false;
      say();
    });
  };
  const start = () => {
    say();
    new MutationObserver(soon).observe(document.body, { childList: true, subtree: true });
  };
  if (document.body) start();
  else document.addEventListener("DOMContentLoaded", start);
})();
