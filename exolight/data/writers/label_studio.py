"""Label Studio: tasks to be imported, and the labelling interface that fits them."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

import numpy as np

from exolight.data.writers.item import Drawn, Item

MODEL = "exolight"


def write_label_studio(items: Iterable[Item], class_names: Sequence[str], out: Path) -> None:
    """tasks.json and labeling_config.xml; the pictures belong into images/. Regions that count neither way are left out.

    Label Studio takes the pictures from its local files: start it with LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true and
    LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT naming the folder in which ``out`` lies, and add ``out``/images as a local storage. Detections are
    predictions there, with their mean score, which a person makes into an annotation; anything else is an annotation already.
    """
    tasks = [_task(number, item, class_names, out.resolve().name) for number, item in enumerate(items, start=1)]
    (out / "tasks.json").write_text(json.dumps(tasks, indent=1, ensure_ascii=False), encoding="utf-8")
    view = ElementTree.Element("View")
    ElementTree.SubElement(view, "Image", name="image", value="$image", zoom="true")
    for kind in ("Rectangle", "Polygon"):
        control = ElementTree.SubElement(view, f"{kind}Labels", name=kind.lower(), toName="image")
        for name in class_names:
            ElementTree.SubElement(control, "Label", value=name)
    ElementTree.indent(view)
    ElementTree.ElementTree(view).write(out / "labeling_config.xml", encoding="utf-8")


def _task(number: int, item: Item, class_names: Sequence[str], folder: str) -> dict[str, Any]:
    drawn = list(item.objects())
    results = [_result(f"{number}-{i}", one, item.image.image_hw, class_names[one.label]) for i, one in enumerate(drawn, start=1)]
    task: dict[str, Any] = {"id": number, "data": {"image": f"/data/local-files/?d={quote(f'{folder}/images/{item.name}')}"}}
    if item.scores is None:
        return task | {"annotations": [{"result": results}], "predictions": []}
    score = float(np.mean([one.score for one in drawn])) if drawn else 0.0
    return task | {"annotations": [], "predictions": [{"model_version": MODEL, "score": round(score, 4), "result": results}]}


def _result(key: str, one: Drawn, image_hw: tuple[int, int], name: str) -> dict[str, Any]:
    """One object, in percent of the picture."""
    height, width = image_hw
    if one.outline is not None:
        kind = "polygon"
        value: dict[str, Any] = {"points": (one.outline * 100 / (width, height)).tolist(), "closed": True}
    else:
        kind, (x1, y1, x2, y2) = "rectangle", one.box
        value = {"x": x1 * 100 / width, "y": y1 * 100 / height, "width": (x2 - x1) * 100 / width, "height": (y2 - y1) * 100 / height, "rotation": 0}
    result = {"id": key, "type": f"{kind}labels", "from_name": kind, "to_name": "image", "original_width": width, "original_height": height}
    result |= {"image_rotation": 0, "value": value | {f"{kind}labels": [name]}}
    return result | ({"score": round(one.score, 4)} if one.score is not None else {})
