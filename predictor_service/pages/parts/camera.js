/* Images from the camera. */

import { h, put } from "../../web/dom.js";

const REASONS = {
  NotAllowedError: "The camera was not allowed. Allow it for this page in the browser's settings, then try again.",
  NotFoundError: "There is no camera on this machine.",
  NotReadableError: "The camera is in use by another program.",
};
const INSECURE =
  "Browsers give the camera only to pages that come over https or from localhost, and this one came " +
  "over plain http. On a phone, this button still takes a photo:";

/** `{button, element}`; `onPictures` gets `[{file, name}]`, in the resolution of the camera. */
export function camera(onPictures) {
  const element = h("div", { class: "camera", hidden: true });
  const button = h("button", { type: "button", "aria-expanded": "false" }, "Use the camera");
  let stream = null;

  const show = (...children) => {
    put(element, ...children);
    element.hidden = children.length === 0;
    button.setAttribute("aria-expanded", String(!element.hidden));
  };
  const close = () => {
    stream?.getTracks().forEach((track) => track.stop());
    stream = null;
    show();
  };
  const open = async () => {
    if (!navigator.mediaDevices?.getUserMedia) return show(h("p", { class: "waiting" }, INSECURE), photo(onPictures));
    button.disabled = true;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment", width: { ideal: 1920 } } });
      show(...viewer(stream, onPictures, () => (close(), button.focus())));
      element.querySelector("button").focus();
    } catch (error) {
      show(h("p", { class: "problem", role: "alert" }, REASONS[error.name] ?? `The camera can't be used: ${error.message}`));
    } finally {
      button.disabled = false;
    }
  };
  button.addEventListener("click", () => (element.hidden ? open() : close()));
  window.addEventListener("pagehide", close);
  return { button, element };
}

function viewer(stream, onPictures, close) {
  const video = h("video", { autoplay: true, playsinline: true, "aria-label": "What the camera sees" });
  video.muted = true;
  video.srcObject = stream;
  const take = async () => onPictures([await still(video)]);
  const shutter = h("button", { type: "button", class: "primary", disabled: true, onclick: take }, "Take a photo");
  video.addEventListener("loadeddata", () => {
    shutter.disabled = false;
    shutter.focus();
  });
  return [video, h("div", { class: "row" }, shutter, h("button", { type: "button", onclick: close }, "Close the camera"))];
}

async function still(video) {
  const canvas = h("canvas", { width: video.videoWidth, height: video.videoHeight });
  canvas.getContext("2d").drawImage(video, 0, 0);
  const file = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  return { file, name: `Camera, ${new Date().toLocaleTimeString()}` };
}

/** The camera app of a phone, which needs no permission and returns a file. */
function photo(onPictures) {
  const input = h("input", { type: "file", accept: "image/*", capture: "environment", "aria-label": "Take a photo" });
  input.addEventListener("change", () => {
    onPictures([...input.files].map((file) => ({ file, name: file.name })));
    input.value = "";
  });
  return input;
}
