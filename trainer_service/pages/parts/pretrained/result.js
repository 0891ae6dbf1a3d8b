/* What came of publishing a pre-trained network: what it is, and where to try it. */

import { h } from "../../../web/dom.js";

/** Show it below `root`; `about` is what the trainer says of the services. */
export function pretrainedResult(root, { id, model, architecture, version, pretrained, head, unknown }, about) {
  const address = about.predictor_url ?? `${location.protocol}//${location.hostname}:${about.predictor_port}`;
  const page = `${address.replace(/\/$/, "")}/?model=${encodeURIComponent(model)}`;
  root.append(h("section", { class: "card stack", "aria-labelledby": "published" },
    h("h2", { id: "published" }, "A pre-trained network, as it is"),
    h("p", {}, `${architecture} was published as version ${version}. It was tested on no pictures here, so there is no accuracy: try it with pictures of yours.`),
    h("p", {}, h("a", { class: "button primary", href: page }, "Try it on the predictor's page")),
    labels(pretrained),
    h("p", { class: "muted" }, [head?.detail, unknown?.detail].filter(Boolean).join(" ")),
    h("p", {}, h("a", { href: `v1/trainings/${id}/report?format=html` }, "Report"))));
}

function labels({ classes, rest }) {
  if (!classes) return h("p", {}, "It answers the 1,000 classes of ImageNet.");
  const groups = Array.isArray(classes) ? classes.map((name) => [name, [name]]) : Object.entries(classes);
  return h("dl", {}, groups.map(([label, names]) => [h("dt", {}, label), h("dd", {}, names.join(", "))]),
    rest === null ? null : [h("dt", {}, rest), h("dd", {}, "all other classes")]);
}
