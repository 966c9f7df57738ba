"""The page's texts in each of bundle.LANGUAGES; the tables have the same keys, and a test compares them."""

from __future__ import annotations

TEXTS: dict[str, dict[str, str]] = {
    "en": {
        "title": "What is in this picture?",
        "drop": "Drop a picture here, paste one, or",
        "choose": "choose a file",
        "button": "Classify",
        "working": "Looking …",
        "samples": "No picture at hand? Try one of these:",
        "private": "Your picture goes to this server only. It is not stored and not sent on.",
        "result": "The three likeliest labels",
        "took": "{total} ms on the server",
        "too_large": "This file is larger than the {limit} MB that the server accepts.",
        "offline": "The server cannot be reached. Is it still running?",
        "model": "Answering",
        "loading": "The model is being loaded; this page tries again by itself.",
        "digits_warning": "This is the small stand-in model: it knows handwritten digits 0-9 and nothing else.",
        "untrained_warning": "This network is untrained: its speed is real, its answers mean nothing.",
        "api": "For programs",
    },
    "zh": {
        "title": "这张图片里是什么？",
        "drop": "把图片拖到这里、粘贴，或",
        "choose": "选择文件",
        "button": "识别",
        "working": "正在识别……",
        "samples": "手边没有图片？试试这些：",
        "private": "您的图片只会发送到这台服务器，不会保存，也不会转发。",
        "result": "最可能的三个标签",
        "took": "服务器用时 {total} 毫秒",
        "too_large": "文件超过了服务器允许的 {limit} MB。",
        "offline": "无法连接服务器，它还在运行吗？",
        "model": "当前模型",
        "loading": "模型正在加载，页面会自动重试。",
        "digits_warning": "这是小型替代模型：它只认识手写数字 0 到 9，别的都不认识。",
        "untrained_warning": "这个网络未经训练：速度是真实的，答案没有意义。",
        "api": "编程接口",
    },
}
