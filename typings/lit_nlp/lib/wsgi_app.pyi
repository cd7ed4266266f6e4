from werkzeug.wrappers import Request, Response

class App:
    def respond(self, request: Request, content: str, content_type: str, code: int = 200) -> Response: ...
