/* Files that people choose or drop, and the form that sends them. */

const PICTURE = /\.(jpe?g|jpe|jfif|png|webp|gif|bmp|dib|tiff?|heic|heif|avif|jp2|jxl|csv|tsv)$/i;

/** The files of an `<input>`: `[{file, path}]`. */
export function chosen(input) {
  return [...input.files].map((file) => ({ file, path: file.webkitRelativePath || file.name }));
}

/** The form for an upload: a single file that is not an image is an archive, else it is a folder. */
export function formOf(files) {
  const form = new FormData();
  if (files.length === 1 && !PICTURE.test(files[0].file.name) && !files[0].path.includes("/")) {
    form.append("archive", files[0].file, files[0].file.name);
  } else {
    for (const { file, path } of files) form.append("files", file, path);
  }
  return form;
}

/** The first file of a form that can't be read, if there is one. */
export async function unreadable(form) {
  for (const file of form.values()) {
    try {
      await file.slice(0, 1).arrayBuffer();
    } catch {
      return file;
    }
  }
  return null;
}

/** The reason why the trainer would refuse these files, or null; checked before they are sent. */
export function refusal(files, limits) {
  const size = files.reduce((sum, { file }) => sum + file.size, 0);
  if (!files.length) return "There is no file in it.";
  if (files.length > limits.max_upload_files) {
    return `It has ${files.length} files, and this trainer takes at most ${limits.max_upload_files} at once. Pack them into a zip archive.`;
  }
  if (size > limits.max_upload_bytes) {
    return `It has ${size} bytes, and this trainer takes at most ${limits.max_upload_bytes} (HEADSTART_MAX_UPLOAD_BYTES).`;
  }
  return null;
}
