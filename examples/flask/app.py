"""A small Flask application: a page, a form, JSON."""

from flask import Flask, redirect, render_template_string, request, session

app = Flask(__name__)
app.secret_key = "for the demonstration only"

PAGE = """<!doctype html>
<title>Hello from Flask</title>
<h1>Hello from Flask</h1>
<form method="post" action="/notes"><input name="text" autofocus> <button>Note</button></form>
<ul>{% for note in notes %}<li>{{ note }}</li>{% endfor %}</ul>
"""


@app.get("/")
def index():
    return render_template_string(PAGE, notes=session.get("notes", []))


@app.post("/notes")
def add_note():
    session["notes"] = [*session.get("notes", []), request.form["text"]]
    return redirect("/")


@app.post("/sum")
def add_up():
    return {"sum": sum(request.get_json())}
